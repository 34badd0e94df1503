from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.model.messages import Tick
from qcfeed.upstreams import coinbase_messages as protocol
from qcfeed.upstreams.coinbase_book import MAX_LEVELS, Product, Side
from qcfeed.upstreams.coinbase_messages import InvalidMessageError
from tests.support.coinbase_server import CAPTURE

NOW = "2024-03-20T02:15:00.000000000Z"
T0 = "2024-03-20T02:14:59Z"
T1 = "2024-03-20T02:15:01Z"


def take(product: Product, **message: Any) -> Tick | None:
    decoded = protocol.decode(json.dumps({"product_id": "BTC-USD", **message}))
    assert isinstance(decoded, protocol.ProductMessage)
    return product.apply(decoded, NOW)


def snapshot(product: Product, bids: list[list[str]], asks: list[list[str]]) -> Tick | None:
    return take(product, type="snapshot", bids=bids, asks=asks)


def update(product: Product, *changes: list[str], time: str = T1) -> Tick | None:
    return take(product, type="l2update", changes=list(changes), time=time)


def ticker(product: Product, price: str, *, sequence: int = 1, trade: int = 1) -> Tick | None:
    return take(
        product,
        type="ticker",
        price=price,
        sequence=sequence,
        trade_id=trade,
        time="2024-03-20T00:00:00Z",
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

    def test_the_snapshots_own_time_is_preferred_to_the_time_of_receipt(self) -> None:
        tick = take(Product(), type="snapshot", bids=[["1", "1"]], asks=[], time=T0)
        assert tick is not None
        assert tick.ts == T0

    def test_a_new_best_a_new_size_and_a_removed_level(self, product: Product) -> None:
        assert update(product, ["buy", "99.75", "1"]) == Tick(99.75, 1, 100.5, 0.25, None, T1)
        assert update(product, ["buy", "99.75", "0.5"]) == Tick(99.75, 0.5, 100.5, 0.25, None, T1)
        assert update(product, ["buy", "99.75", "0.000"]) == Tick(99.5, 2, 100.5, 0.25, None, T1)
        assert update(product, ["sell", "100.5", "0"]) == Tick(99.5, 2, 101.0, 3, None, T1)

    def test_several_changes_are_one_tick(self, product: Product) -> None:
        tick = update(product, ["buy", "99.5", "0"], ["sell", "100.25", "7"], ["buy", "99.25", "1"])
        assert tick == Tick(99.25, 1, 100.25, 7, None, T1)

    def test_changes_away_from_the_best_levels_cause_no_tick(self, product: Product) -> None:
        assert update(product, ["buy", "98", "10"]) is None
        assert update(product, ["buy", "97", "0"]) is None
        assert update(product, ["sell", "100.5", "0.25"]) is None

    def test_an_empty_side_has_neither_price_nor_size(self, product: Product) -> None:
        tick = update(product, ["sell", "100.5", "0"], ["sell", "101", "0"])
        assert tick == Tick(99.5, 2, None, None, None, T1)

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
        assert update(product, ["buy", "50", "0"]) == Tick(None, None, 51, 1, None, T1)


class TestFaults:
    def heartbeat(self, product: Product, trade: int) -> str | None:
        assert take(product, type="heartbeat", sequence=1, last_trade_id=trade) is None
        return product.fault

    def test_a_trade_still_missing_at_the_next_heartbeat_is_a_fault(self, product: Product) -> None:
        ticker(product, "100", trade=10)
        assert self.heartbeat(product, 10) is None
        assert self.heartbeat(product, 13) is None
        assert self.heartbeat(product, 13) == "3 trades did not arrive"

    def test_a_ticker_that_comes_after_the_heartbeat_is_in_time(self, product: Product) -> None:
        ticker(product, "100", trade=10)
        self.heartbeat(product, 13)
        ticker(product, "101", sequence=2, trade=13)
        assert self.heartbeat(product, 13) is None

    def test_nothing_is_missed_before_the_first_ticker(self, product: Product) -> None:
        assert self.heartbeat(product, 13) is None
        assert self.heartbeat(product, 14) is None
        ticker(product, "100", trade=14)
        assert self.heartbeat(product, 14) is None

    def test_heartbeats_without_a_trade_id_are_no_fault(self, product: Product) -> None:
        ticker(product, "100", trade=10)
        for _ in range(3):
            assert self.heartbeat(product, 0) is None

    def test_a_crossed_book_causes_no_tick_but_a_fault(self, product: Product) -> None:
        assert update(product, ["buy", "100.5", "1"]) is not None  # locked, not crossed
        assert product.fault is None
        assert update(product, ["buy", "100.75", "1"]) is None
        assert product.fault == "the book is crossed, bid 100.75 over ask 100.5"

    def test_a_discarded_book_causes_no_tick_until_the_next_snapshot(
        self, product: Product
    ) -> None:
        update(product, ["buy", "100.75", "1"])
        product.discard_book()
        assert product.fault is None
        assert update(product, ["buy", "99", "1"]) is None
        assert snapshot(product, [["98", "1"]], [["99", "1"]]) == Tick(98, 1, 99, 1, None, NOW)

    def test_more_levels_than_any_market_has_are_refused(self) -> None:
        side = Side(1)
        for price in range(MAX_LEVELS, 0, -1):
            side.set_level(float(price), 1.0)
        with pytest.raises(ValueError, match="more than 200,000 levels"):
            side.set_level(0.5, 1.0)
        with pytest.raises(ValueError, match="more than 200,000 levels"):
            Side(1).replace((str(price), "1") for price in range(MAX_LEVELS, -1, -1))

    def test_removed_levels_do_not_pile_up(self) -> None:
        side = Side(1)
        side.set_level(1e6, 1.0)
        for price in range(1, 100_000):
            side.set_level(float(price), 1.0)
            side.set_level(float(price), 0.0)
        assert side.entries <= 66


class TestNeverTraded:
    def test_an_empty_book_without_a_trade_is_no_quote(self) -> None:
        product = Product()
        assert snapshot(product, [], []) is None
        assert update(product, ["buy", "1", "2"]) == Tick(1, 2, None, None, None, T1)
        assert update(product, ["buy", "1", "0"]) == Tick(None, None, None, None, None, T1)

    def test_its_ticker_is_invalid_and_breaks_no_book(self) -> None:
        text = '{"type":"ticker","product_id":"NEW-USD","price":"0","open_24h":"0"}'
        with pytest.raises(InvalidMessageError, match="sequence") as caught:
            protocol.decode(text)
        assert caught.value.product == "NEW-USD"
        assert not caught.value.breaks_book


BID = '{"type":"l2update","product_id":"A-B","time":"%s","changes":[["buy",%s,%s]]}'


class TestInvalidMessages:
    @pytest.mark.parametrize(
        "value",
        ["x", "nan", "inf", "-1", "", " 1", "1_0", "\u0661", "1\n", "0x10", "9" * 4_000, "1e999",
         "9" * 25, "1e99", "1e-99"],
    )  # fmt: skip
    @pytest.mark.parametrize("field", ["price", "size"])
    def test_a_number_is_a_plain_decimal_of_bounded_length(
        self, product: Product, value: str, field: str
    ) -> None:
        values = (json.dumps(value), '"1"') if field == "price" else ('"1"', json.dumps(value))
        with pytest.raises(ValueError, match=r"Expected `str`|not a valid price"):
            product.apply(protocol.decode(BID % (T1, *values)), NOW)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "time",
        ["", "T1", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2024-13-01T00:00:00Z",
         "2024-03-20T02:15:00+00:00", "2024-03-20T02:15:00Z" + " " * 5_000_000, "2" * 5_000_000,
         "\u0662024-03-20T02:15:00Z"],
        ids=lambda text: text[:12] or "empty",
    )  # fmt: skip
    def test_a_time_is_a_timestamp_of_this_era(self, time: str) -> None:
        with pytest.raises(InvalidMessageError) as caught:
            protocol.decode(BID % (time, '"1"', '"1"'))
        assert caught.value.product == "A-B"
        assert caught.value.breaks_book
        assert len(str(caught.value)) <= 200

    @pytest.mark.parametrize("number", ["-1", "1e30", "9" * 19, "9" * 5_000, "1.5"])
    def test_a_sequence_fits_in_63_bits(self, number: str) -> None:
        text = f'{{"type":"heartbeat","product_id":"A-B","sequence":{number}}}'
        with pytest.raises(InvalidMessageError):
            protocol.decode(text)

    @pytest.mark.parametrize("kind", ["ticker", "l2update"])
    def test_deeply_nested_json_is_about_its_product(self, kind: str) -> None:
        nested = "[" * 200_000 + "]" * 200_000
        with pytest.raises(InvalidMessageError) as caught:
            protocol.decode(f'{{"x":{nested},"type":"{kind}","product_id":"A-B"}}')
        assert caught.value.product == "A-B"
        assert caught.value.breaks_book is (kind == "l2update")

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "42", '{"kind":"ticker"}', '{"type":"l2update"}', '{"type":7}'],
    )
    def test_messages_of_another_protocol_are_about_no_product(self, text: str) -> None:
        with pytest.raises(InvalidMessageError) as caught:
            protocol.decode(text)
        assert caught.value.product is None

    def test_an_unknown_side_is_refused(self) -> None:
        with pytest.raises(InvalidMessageError, match="hold"):
            protocol.decode(BID.replace("buy", "hold") % (T1, '"1"', '"1"'))

    @pytest.mark.parametrize("rest", ['"price":1', '"x":' + "[" * 100_000 + "]" * 100_000])
    def test_an_unknown_type_is_ignored(self, rest: str) -> None:
        assert protocol.decode(f'{{"type":"match",{rest}}}') is None

    @pytest.mark.parametrize("text", ["A" * 150_000, "A-" * 75_000, "-" * 150_000])
    def test_words_are_found_in_linear_time(self, text: str) -> None:
        """The cost of a quadratic pattern over 150 kB is seconds; the timeout of the run catches it."""
        for _ in range(20):
            assert len(protocol.words(text + " BTC-USD")) == 2


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
