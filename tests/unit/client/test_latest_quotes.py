"""The state behind the table of `qcfeed watch`, event by event."""

from __future__ import annotations

from msgspec.structs import replace

from qcfeed.client.gaps import Gap, Repeat
from qcfeed.client.latest_quotes import LatestQuotes, SymbolState
from qcfeed.client.stream import Connected, Disconnected, Received
from qcfeed.model.messages import Band, Pong, Quote, ServerMessage, Status
from qcfeed.model.symbol import Symbol

AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")
QUOTE = Quote("AAPL", 1.0, 1, 2.0, 1, 1.5, "", "a", 7)


def received(message: ServerMessage) -> Received:
    return Received("", message)


def only(quotes: LatestQuotes, now: float) -> SymbolState:
    return quotes.states(now)[0]


def test_states_are_in_the_order_of_the_symbols_given() -> None:
    quotes = LatestQuotes([MSFT, AAPL])
    quotes.apply(received(QUOTE), 0)
    assert [line.symbol for line in quotes.states(0)] == [MSFT, AAPL]


def test_states_from_connecting_to_live_to_disconnected_and_back() -> None:
    quotes = LatestQuotes([AAPL])
    seen = [only(quotes, 0).state]
    for event in (
        Connected("u"),
        received(QUOTE),
        received(Status("AAPL", Band.STALE, 16_000)),
        received(Status("AAPL", Band.LIVE, 0)),
        received(QUOTE),
        Disconnected("gone", 1.0),
        Connected("u"),
    ):
        quotes.apply(event, 0)
        seen.append(only(quotes, 0).state)
    assert seen == [
        "connecting", "waiting", "live", "stale", "live", "live", "disconnected", "waiting",
    ]  # fmt: skip


def test_the_age_counts_from_the_last_quote_or_status() -> None:
    quotes = LatestQuotes([AAPL])
    assert only(quotes, 5).age_s is None
    quotes.apply(received(QUOTE), 10)
    assert only(quotes, 12.5).age_s == 2.5
    quotes.apply(received(Status("AAPL", Band.STALE, 16_000)), 20)
    assert only(quotes, 21).age_s == 17


def test_gaps_are_counted_repeats_and_pongs_are_not() -> None:
    quotes = LatestQuotes([AAPL])
    for event in (
        Gap("AAPL", "a", 2, 5),
        Repeat("AAPL", "a", 6, 5),
        Gap("AAPL", "a", 6, 7),
        received(Pong()),
    ):
        quotes.apply(event, 0)
    assert (only(quotes, 0).gaps, only(quotes, 0).missed) == (2, 4)


def test_a_symbol_that_was_not_requested_is_not_stored() -> None:
    quotes = LatestQuotes([MSFT])
    for event in (received(QUOTE), received(Status("AAPL", Band.STALE, 1)), Gap("AAPL", "a", 1, 3)):
        quotes.apply(event, 0)
    assert [line.symbol for line in quotes.states(0)] == [MSFT]


def test_a_status_is_not_undone_by_a_quote_that_was_on_its_way() -> None:
    quotes = LatestQuotes([AAPL])
    quotes.apply(received(QUOTE), 10)
    quotes.apply(received(Status("AAPL", Band.STALE, 16_000)), 26)
    quotes.apply(received(replace(QUOTE, seq=8)), 27)
    assert (only(quotes, 27).state, only(quotes, 27).age_s) == ("stale", 17)
    assert only(quotes, 27).quote == replace(QUOTE, seq=8)


def test_a_quote_of_a_new_epoch_is_live() -> None:
    quotes = LatestQuotes([AAPL])
    quotes.apply(received(QUOTE), 10)
    quotes.apply(received(Status("AAPL", Band.DEAD, 16_000)), 26)
    quotes.apply(received(replace(QUOTE, epoch="b", seq=1)), 27)
    assert (only(quotes, 27).state, only(quotes, 27).age_s) == ("live", 0)


def test_a_late_quote_does_not_replace_a_newer_one() -> None:
    quotes = LatestQuotes([AAPL])
    quotes.apply(received(QUOTE), 10)
    quotes.apply(received(replace(QUOTE, seq=6)), 11)
    assert only(quotes, 11).quote == QUOTE


def test_a_server_that_has_stopped_is_not_live_for_ever() -> None:
    quotes = LatestQuotes([AAPL])
    quotes.apply(received(QUOTE), 0)
    assert [only(quotes, now).state for now in (14, 20, 400, 2_000)] == [
        "live",
        Band.STALE,
        Band.VERY_STALE,
        Band.DEAD,
    ]
