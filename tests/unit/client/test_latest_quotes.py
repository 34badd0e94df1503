"""What the table of `qcfeed watch` knows, event by event."""

from __future__ import annotations

from qcfeed.client.gaps import Gap, Repeat
from qcfeed.client.latest_quotes import Board, Line
from qcfeed.client.stream import Connected, Disconnected, Received
from qcfeed.model.messages import Band, Pong, Quote, ServerMessage, Status
from qcfeed.model.symbol import Symbol

AAPL, MSFT = Symbol("AAPL"), Symbol("MSFT")
QUOTE = Quote("AAPL", 1.0, 1, 2.0, 1, 1.5, "", "a", 7)


def received(message: ServerMessage) -> Received:
    return Received("", message)


def only(board: Board, now: float) -> Line:
    return board.lines(now)[0]


def test_lines_come_in_the_order_asked_for() -> None:
    board = Board([MSFT, AAPL])
    board.apply(received(QUOTE), 0)
    assert [line.symbol for line in board.lines(0)] == [MSFT, AAPL]


def test_states_from_connecting_to_live_to_disconnected_and_back() -> None:
    board = Board([AAPL])
    seen = [only(board, 0).state]
    for event in (
        Connected("u"),
        received(QUOTE),
        received(Status("AAPL", Band.STALE, 16_000)),
        received(QUOTE),
        Disconnected("gone", 1.0),
        Connected("u"),
    ):
        board.apply(event, 0)
        seen.append(only(board, 0).state)
    assert seen == [
        "connecting", "waiting", "live", "stale", "live", "disconnected", "waiting",
    ]  # fmt: skip


def test_age_counts_from_the_last_quote_or_from_what_the_server_says() -> None:
    board = Board([AAPL])
    assert only(board, 5).age_s is None
    board.apply(received(QUOTE), 10)
    assert only(board, 12.5).age_s == 2.5
    board.apply(received(Status("AAPL", Band.STALE, 16_000)), 20)
    assert only(board, 21).age_s == 17


def test_gaps_are_counted_repeats_and_pongs_are_not() -> None:
    board = Board([AAPL])
    for event in (
        Gap("AAPL", "a", 2, 5),
        Repeat("AAPL", "a", 6, 5),
        Gap("AAPL", "a", 6, 7),
        received(Pong()),
    ):
        board.apply(event, 0)
    assert (only(board, 0).gaps, only(board, 0).missed) == (2, 4)


def test_a_symbol_that_nobody_asked_for_gets_a_line_of_its_own() -> None:
    board = Board([MSFT])
    board.apply(received(QUOTE), 0)
    assert [line.symbol for line in board.lines(0)] == [MSFT, AAPL]
