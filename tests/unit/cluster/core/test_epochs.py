from __future__ import annotations

from qcfeed.cluster.core.envelope import Epoch, PublishedQuote
from qcfeed.cluster.core.epochs import OwnerEpochs, QuoteOrder
from qcfeed.cluster.core.shares import Share
from qcfeed.model.symbol import Symbol

AAPL = Symbol("AAPL")


def quote(revision: int, seq: int, life: int = 1) -> PublishedQuote:
    return PublishedQuote(Epoch(revision, life), seq, b"")


def order() -> tuple[QuoteOrder, OwnerEpochs]:
    owners = OwnerEpochs()
    return QuoteOrder(AAPL, owners), owners


def test_quotes_in_order_pass_and_say_how_many_are_missing() -> None:
    quotes, _ = order()
    assert [quotes.accept(quote(5, seq)) for seq in (3, 4, 7)] == [0, 0, 2]


def test_a_repeat_is_dropped_and_is_not_a_rejected_epoch() -> None:
    quotes, _ = order()
    quotes.accept(quote(5, 3))
    assert quotes.accept(quote(5, 3)) is None
    assert quotes.accept(quote(5, 2)) is None
    assert quotes.rejected == 0


def test_a_lower_epoch_never_passes_after_a_higher_one() -> None:
    quotes, _ = order()
    quotes.accept(quote(5, 1))
    assert quotes.accept(quote(9, 40)) == 0
    assert quotes.accept(quote(5, 2)) is None
    assert quotes.accept(quote(9, 1, life=0)) is None
    assert quotes.rejected == 2


def test_an_announcement_stops_the_owner_before_it_although_the_new_one_has_no_quote_yet() -> None:
    quotes, owners = order()
    quotes.accept(quote(5, 1))
    owners.raise_to(Share(), 9)
    assert quotes.accept(quote(5, 2)) is None
    assert quotes.accept(quote(9, 1)) == 0


def test_an_announcement_of_another_share_changes_nothing() -> None:
    quotes, owners = order()
    other = next(share for n in (1, 2) if not (share := Share(n, 2)).owns(AAPL))
    owners.raise_to(other, 9)
    assert quotes.accept(quote(5, 1)) == 0
    assert owners.highest == 9


def test_quotes_count_where_an_announcement_was_missed() -> None:
    owners = OwnerEpochs()
    assert QuoteOrder(AAPL, owners).accept(PublishedQuote(Epoch(9, 1), 1, b"")) == 0
    assert owners.of(Share()) == owners.highest == 9
    again = QuoteOrder(AAPL, owners)
    assert again.accept(PublishedQuote(Epoch(8, 7), 1, b"")) is None, "the feed was retried"
    assert again.accept(PublishedQuote(Epoch(9, 1), 1, b"")) == 0


def test_former_shares_count_for_the_symbols_they_had() -> None:
    owners = OwnerEpochs()
    owners.raise_to(Share(1, 2), 20)
    assert [owners.of(Share(number, 4)) for number in (1, 2, 3, 4)] == [20, 0, 20, 0]
    assert [owners.of(Share(number, 3)) for number in (1, 2, 3)] == [20, 20, 20]
    assert owners.of(Share()) == 20
