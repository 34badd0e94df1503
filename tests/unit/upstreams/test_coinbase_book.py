from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.model.messages import Tick
from qcfeed.upstreams import coinbase_messages as protocol
from qcfeed.upstreams.coinbase_book import Product, Side
from tests.support.coinbase_server import CAPTURE

NOW = "2024-03-20T02:15:00.000000000Z"


def take(product: Product, **message: Any) -> Tick | None:
    decoded = protocol.decode(json.dumps({"product_id": "BTC-USD", **message}))
    assert isinstance(decoded, protocol.ProductMessage)
    return product.apply(decoded, NOW)


def snapshot(product: Product, bids: list[list[str]], asks: list[list[str]]) -> Tick | None:
    return take(product, type="snapshot", bids=bids, asks=asks)


def update(product: Product, *changes: list[str], time: str = "T1") -> Tick | None:
    return take(product, type="l2update", changes=list(changes), time=time)


def ticker(product: Product, price: str, *, sequence: int = 1, trade: int = 1) -> Tick | None:
    return take(
        product, type="ticker", price=price, sequence=sequence, trade_id=trade, time="2024-03-20T0"
    )


@pytest.fixture
def product() -> Product:
    product = Product()
    snapshot(product, [["99.5", "2"], ["99", "1.5"]], [["100.5", "0.25"], ["101", "3"]])
    return product


class TestTicks:
    def test_a_snapshot_gives_the_best_with_sizes(self) -> None:
        tick = snapshot(Product(), [["99", "1.5"], ["99.5", "2.0"]], [["101", "3"], ["100.5", "1"]])
        assert tick == Tick(99.5, 2, 100.5, 1, None, NOW)
        assert isinstance(tick.bid_size, int)

    def test_the_snapshots_own_time_goes_before_that_of_receipt(self) -> None:
        tick = take(Product(), type="snapshot", bids=[["1", "1"]], asks=[], time="T0")
        assert tick is not None
        assert tick.ts == "T0"

    def test_a_new_best_a_new_size_and_a_removed_level(self, product: Product) -> None:
        assert update(product, ["buy", "99.75", "1"]) == Tick(99.75, 1, 100.5, 0.25, None, "T1")
        assert update(product, ["buy", "99.75", "0.5"]) == Tick(99.75, 0.5, 100.5, 0.25, None, "T1")
        assert update(product, ["buy", "99.75", "0.000"]) == Tick(99.5, 2, 100.5, 0.25, None, "T1")
        assert update(product, ["sell", "100.5", "0"]) == Tick(99.5, 2, 101.0, 3, None, "T1")

    def test_several_changes_are_one_tick(self, product: Product) -> None:
        tick = update(product, ["buy", "99.5", "0"], ["sell", "100.25", "7"], ["buy", "99.25", "1"])
        assert tick == Tick(99.25, 1, 100.25, 7, None, "T1")

    def test_changes_away_from_the_best_levels_cause_no_tick(self, product: Product) -> None:
        assert update(product, ["buy", "98", "10"]) is None
        assert update(product, ["buy", "97", "0"]) is None
        assert update(product, ["sell", "100.5", "0.25"]) is None

    def test_an_empty_side_has_neither_price_nor_size(self, product: Product) -> None:
        tick = update(product, ["sell", "100.5", "0"], ["sell", "101", "0"])
        assert tick == Tick(99.5, 2, None, None, None, "T1")

    def test_the_last_price_comes_from_the_ticker(self, product: Product) -> None:
        tick = ticker(product, "100.1")
        assert tick == Tick(99.5, 2, 100.5, 0.25, 100.1, NOW)
        assert ticker(product, "100.1", sequence=2, trade=2) is None

    def test_an_old_trade_does_not_set_the_time_back(self, product: Product) -> None:
        tick = ticker(product, "100.1")
        assert tick is not None
        assert tick.ts == NOW

    def test_a_ticker_out_of_order_is_dropped(self, product: Product) -> None:
        ticker(product, "100.1", sequence=5, trade=2)
        assert ticker(product, "99.9", sequence=4, trade=1) is None
        tick = update(product, ["buy", "99.75", "1"])
        assert tick is not None
        assert tick.last == 100.1


class TestOrder:
    def test_no_tick_before_the_snapshot(self) -> None:
        product = Product()
        assert update(product, ["buy", "500", "1"]) is None
        assert ticker(product, "100.1") is None
        assert snapshot(product, [["99", "1"]], [["101", "1"]]) == Tick(99, 1, 101, 1, 100.1, NOW)

    def test_a_second_snapshot_replaces_the_book(self, product: Product) -> None:
        assert snapshot(product, [["50", "1"]], [["51", "1"]]) == Tick(50, 1, 51, 1, None, NOW)
        assert update(product, ["buy", "50", "0"]) == Tick(None, None, 51, 1, None, "T1")


class TestMissed:
    def heartbeat(self, product: Product, trade: int) -> int:
        assert take(product, type="heartbeat", sequence=1, last_trade_id=trade) is None
        return product.missed

    def test_a_trade_still_missing_at_the_next_heartbeat_is_counted(self, product: Product) -> None:
        ticker(product, "100", trade=10)
        assert self.heartbeat(product, 10) == 0
        assert self.heartbeat(product, 13) == 0
        assert self.heartbeat(product, 13) == 3

    def test_a_ticker_that_comes_after_the_heartbeat_is_in_time(self, product: Product) -> None:
        ticker(product, "100", trade=10)
        self.heartbeat(product, 13)
        ticker(product, "101", sequence=2, trade=13)
        assert self.heartbeat(product, 13) == 0

    def test_nothing_is_missed_before_the_first_ticker(self, product: Product) -> None:
        assert self.heartbeat(product, 13) == 0
        assert self.heartbeat(product, 14) == 0
        ticker(product, "100", trade=14)
        assert self.heartbeat(product, 14) == 0

    def test_heartbeats_without_a_trade_id_count_nothing(self, product: Product) -> None:
        ticker(product, "100", trade=10)
        for _ in range(3):
            assert self.heartbeat(product, 0) == 0


class TestRubbish:
    @pytest.mark.parametrize(
        "change",
        [["buy", "x", "1"], ["buy", "1", "nan"], ["buy", "inf", "1"], ["buy", "-1", "1"]],
    )
    def test_invalid_numbers_are_refused(self, product: Product, change: list[str]) -> None:
        with pytest.raises(ValueError, match=r"could not convert|not a valid price"):
            update(product, change)

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "42", '{"kind":"ticker"}', '{"type":"l2update"}', '{"type":7}',
         '{"type":"l2update","product_id":"A","time":"","changes":[["hold","1","1"]]}'],
    )  # fmt: skip
    def test_messages_of_another_protocol_are_refused(self, text: str) -> None:
        with pytest.raises(msgspec.DecodeError):
            protocol.decode(text)

    def test_an_unknown_type_is_ignored(self) -> None:
        assert protocol.decode('{"type":"match","price":1}') is None


LEVEL = st.tuples(st.integers(1, 30), st.integers(0, 3))


@given(st.lists(LEVEL, max_size=30), st.lists(LEVEL, max_size=100), st.sampled_from([1, -1]))
def test_a_side_agrees_with_a_plain_dict(
    start: list[tuple[int, int]], changes: list[tuple[int, int]], sign: int
) -> None:
    side = Side(sign)
    side.replace([(f"{price}.0", f"{size}.5") for price, size in start])
    naive = {price: size + 0.5 for price, size in start}
    for price, size in changes:
        side.set_level(float(price), float(size))
        naive[price] = size
        if not size:
            del naive[price]
        best = max(naive, key=lambda p: p * sign, default=None)
        assert side.best() == (best, None if best is None else naive[best])
        assert len(side) == len(naive)


def test_a_request_names_all_channels_and_its_products_in_order() -> None:
    assert json.loads(protocol.request("subscribe", {"B-C", "A-B"})) == {
        "type": "subscribe",
        "product_ids": ["A-B", "B-C"],
        "channels": ["ticker", "heartbeat", "level2_batch"],
    }


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no capture at {CAPTURE}")
def test_the_capture_agrees_with_a_naive_book() -> None:
    """Compare every message's tick with a naive book: a dict, max() and min()."""
    products: dict[str, Product] = {}
    naive: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    current: dict[str, tuple[object, ...]] = {}
    ticks = messages = 0
    with gzip.open(CAPTURE, "rt") as lines:
        for line in lines:
            if line.startswith("ws") or not line.strip():
                continue
            text = line.partition(": ")[2]
            message = json.loads(text)
            name = message.get("product_id")
            if message["type"] == "snapshot":
                naive[name] = (dict(message["bids"]), dict(message["asks"]))
            elif message["type"] == "l2update":
                for side, price, size in message["changes"]:
                    levels = naive[name][side == "sell"]
                    levels[price] = size
                    if not float(size):
                        del levels[price]
            elif message["type"] != "ticker":
                continue
            decoded = protocol.decode(text)
            assert isinstance(decoded, protocol.ProductMessage)
            tick = products.setdefault(name, Product()).apply(decoded, NOW)
            messages += 1
            if name not in naive:
                assert tick is None
                continue
            bids, asks = naive[name]
            bid, ask = max(bids, key=float), min(asks, key=float)
            best = (float(bid), float(bids[bid]), float(ask), float(asks[ask]))
            if tick is not None:
                ticks += 1
                current[name] = (tick.bid, tick.bid_size, tick.ask, tick.ask_size)
            assert current[name] == best
    assert messages == 9_836
    assert ticks > 1_700
