"""Long messages, in slices: the same book as in one go, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams import coinbase_big_messages as big
from qcfeed.upstreams import coinbase_messages as protocol
from qcfeed.upstreams.coinbase_book import Product
from qcfeed.upstreams.coinbase_feed import CoinbaseFeed
from tests.support.patience import PATIENCE
from tests.support.sinks import KeepingSink, until

TIME = "2024-03-20T02:15:00.000000Z"
LEVELS = st.lists(
    st.tuples(st.integers(1, 10**6).map(str), st.sampled_from(["0", "1.5", "2"])), max_size=60
)


def snapshot(bids: list[Any], asks: list[Any], product: str = "BTC-USD") -> str:
    return json.dumps(
        {"type": "snapshot", "product_id": product, "bids": bids, "asks": asks, "time": TIME}
    )


def levels(count: int, base: int) -> list[tuple[str, str]]:
    return [(str(base + number), "1") for number in range(count)]


def opened(text: str) -> big.BookMessage:
    message = big.open_long(text)
    assert message is not None
    return message


def applied(text: str, product: Product) -> tuple[Tick | None, int]:
    """The tick of a message that is applied in slices, and how many there were."""
    steps, count = opened(text).apply(product, TIME), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(big, "SLICE", 40)


@given(LEVELS, LEVELS, st.sampled_from([None, 1]))
def test_slices_make_the_same_book_as_the_whole(bids: Any, asks: Any, indent: int | None) -> None:
    asks = [(str(2_000_000 + int(price)), size) for price, size in asks]
    whole, sliced = Product(), Product()
    text = json.dumps(json.loads(snapshot(bids, asks)), indent=indent)
    expected = whole.apply(protocol.decode(text), TIME)  # type: ignore[arg-type]
    assert applied(text, sliced)[0] == expected
    changes = [("buy", *each) for each in bids] + [("sell", *each) for each in asks]
    update = json.dumps(
        {"type": "l2update", "product_id": "BTC-USD", "changes": changes[::-1], "time": TIME},
        indent=indent,
    )
    expected = whole.apply(protocol.decode(update), TIME)  # type: ignore[arg-type]
    assert applied(update, sliced)[0] == expected


def test_a_long_message_takes_many_slices() -> None:
    _, count = applied(snapshot(levels(500, 1), levels(500, 1_000)), Product())
    assert count > 200


@pytest.mark.parametrize(
    "text",
    [
        snapshot([["1", "2", "3"]], []),
        snapshot([["1"]], []),
        snapshot([[["1", "2"]]], []),
        snapshot([["1]", "2"]], []),
        snapshot([["1", "-2"]], []),
        snapshot(["1"], []),
        snapshot([{"a": "]"}], []),
        '{"type":"snapshot","product_id":"BTC-USD","bids":"x","asks":[]}',
        '{"type":"snapshot","product_id":"BTC-USD","asks":[]}',
        '{"type":"l2update","product_id":"BTC-USD","changes":[]}',
        '{"type":"l2update","product_id":"BTC-USD","changes":[["up","1","1"]],"time":"'
        + TIME
        + '"}',
    ],
)
def test_invalid_levels_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also msgspec's errors, which are ValueErrors
        applied(text, Product())


@pytest.mark.parametrize("text", ["[" * 100_000, '{"type":', '{"type":"snapshot","bids":[[[[', "1"])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(protocol.InvalidMessageError):
        big.open_long(text)


def test_other_messages_have_a_bound() -> None:
    assert big.open_long('{"type":"error","message":"' + "a" * 1_000 + '"}') is None
    with pytest.raises(protocol.InvalidMessageError, match="too long"):
        big.open_long('{"type":"error","message":"' + "a" * big.MAX_OTHER + '"}')


class Worker:
    """A worker and what it did, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []
        self.worker = big.SliceWorker(
            apply=lambda feed, message: self.done.append((feed.symbol, type(message).__name__)),
            applied=lambda feed, tick: self.done.append((feed.symbol, tick and tick.bid)),
            failed=lambda feed, _: self.done.append((feed.symbol, "failed")),
            stamp=lambda: TIME,
        )

    async def until(self, count: int) -> None:
        await until(lambda: len(self.done) >= count)


@pytest.fixture
async def slow() -> AsyncIterator[Worker]:
    made = Worker()
    task = asyncio.create_task(made.worker.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def feed(symbol: str) -> CoinbaseFeed:
    return CoinbaseFeed(Symbol(symbol), KeepingSink(), asyncio.get_running_loop())


def add(slow: Worker, to: CoinbaseFeed, text: str) -> None:
    message = opened(text)
    slow.worker.add(to, message, message.size)


async def test_a_long_message_does_not_delay_another_product(slow: Worker) -> None:
    btc, eth = feed("BTC-USD"), feed("ETH-USD")
    add(slow, btc, snapshot(levels(5_000, 1), levels(5_000, 9_000)))
    add(slow, eth, snapshot(levels(5, 1), levels(5, 9_000)))
    await slow.until(2)
    assert slow.done == [("ETH-USD", 5.0), ("BTC-USD", 5_000.0)]


async def test_later_messages_of_the_product_keep_their_order(slow: Worker) -> None:
    btc = feed("BTC-USD")
    add(slow, btc, snapshot(levels(500, 1), levels(500, 9_000)))
    assert slow.worker.is_behind(btc)
    slow.worker.add(btc, protocol.Heartbeat("BTC-USD", 1), 10)
    add(slow, btc, snapshot(levels(100, 1), levels(100, 9_000)))
    await slow.until(3)
    assert [what for _, what in slow.done] == [500.0, "Heartbeat", 100.0]
    await until(lambda: not slow.worker.is_behind(btc))


async def test_the_loop_turns_between_two_slices(slow: Worker) -> None:
    add(slow, feed("BTC-USD"), snapshot(levels(500, 1), levels(500, 9_000)))
    turns = 0
    while not slow.done:
        turns += 1
        await asyncio.sleep(0)
    assert turns > 200


async def test_an_invalid_message_ends_its_own_product_only(slow: Worker) -> None:
    btc, eth = feed("BTC-USD"), feed("ETH-USD")
    add(slow, btc, snapshot([*levels(100, 1), ("x", "y")], []))
    add(slow, eth, snapshot(levels(200, 1), levels(5, 9_000)))
    await slow.until(2)
    assert slow.done == [("BTC-USD", "failed"), ("ETH-USD", 200.0)]


async def test_what_waits_is_bounded(slow: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(big, "MAX_WAITING", 10_000)
    add(slow, feed("BTC-USD"), snapshot(levels(2_000, 1), levels(2_000, 9_000)))
    reading = asyncio.create_task(slow.worker.has_room())
    await asyncio.sleep(0)
    assert not reading.done()
    await asyncio.wait_for(reading, PATIENCE)
    assert slow.done == [("BTC-USD", 2_000.0)]
