from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import islice, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qcfeed.errors import UnknownSymbolError
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol, parse
from qcfeed.upstreams.conformance import KeepingSink
from qcfeed.upstreams.simulator import QUIET_SYMBOL, Pace, Simulator, Walk
from qcfeed.upstreams.universe import LEVELS, TICKERS
from tests.support.sinks import running


def walk(seed: int, symbol: str, count: int) -> list[Tick]:
    steps = Walk(seed, symbol)
    return [steps.tick("") for _ in range(count)]


class TestUniverse:
    def test_has_892_distinct_symbols_that_can_be_asked_for(self) -> None:
        assert len(TICKERS) == len(set(TICKERS)) == 892
        assert [parse(ticker) for ticker in TICKERS] == list(TICKERS)

    def test_the_universe_has_the_symbols_of_the_incident(self) -> None:
        assert {"AAPL", "MSFT", "GOOGL", "TSLA", "AMZN", "BRK.B"} <= set(TICKERS)
        assert set(LEVELS) <= set(TICKERS)
        assert QUIET_SYMBOL not in TICKERS

    def test_it_knows_the_universe_and_the_quiet_symbol_only(self) -> None:
        simulator = Simulator()
        assert all(simulator.knows(symbol) for symbol in (*TICKERS, QUIET_SYMBOL))
        assert not simulator.knows(Symbol("NOSUCH"))
        assert simulator.symbols() == TICKERS


class TestWalk:
    def test_depends_on_seed_and_symbol_alone(self) -> None:
        alone = walk(7, "AAPL", 100)
        first, other = Walk(7, "AAPL"), Walk(7, "MSFT")
        between = [(first.tick(""), other.tick(""))[0] for _ in range(100)]
        assert between == alone
        assert walk(8, "AAPL", 100) != alone
        moves = {
            symbol: [b.bid_size for b in walk(7, symbol, 100)] for symbol in ("AAPL", "MSFT", "F")
        }
        assert moves["AAPL"] != moves["MSFT"] != moves["F"] != moves["AAPL"]

    def test_every_quote_is_plausible(self) -> None:
        for symbol in ("AAPL", "BRK.B", "F", *islice(TICKERS, 0, None, 50)):
            for tick in walk(1, symbol, 2_000):
                assert tick.bid is not None
                assert tick.ask is not None
                assert tick.last is not None
                assert 0 < tick.bid <= tick.last <= tick.ask
                assert 0 < round((tick.ask - tick.bid) * 100) <= 3
                assert all(price == round(price, 2) for price in (tick.bid, tick.ask, tick.last))
                for size in (tick.bid_size, tick.ask_size):
                    assert isinstance(size, int)
                    assert size >= 100
                    assert size % 100 == 0

    def test_moves_and_returns_to_its_level(self) -> None:
        bids = [tick.bid for tick in walk(3, "AAPL", 50_000) if tick.bid is not None]
        assert max(bids) > 190.5
        assert min(bids) < 189.5
        assert sum((a < 190) != (b < 190) for a, b in pairwise(bids)) > 100
        assert min(bids) >= 0.9 * 190 - 0.05
        assert max(bids) <= 1.1 * 190 + 0.05

    @given(st.integers(), st.sampled_from(TICKERS))
    def test_stays_positive_at_any_seed(self, seed: int, symbol: str) -> None:
        assert all(tick.bid is not None and tick.bid > 1 for tick in walk(seed, symbol, 200))


class TestPace:
    def test_ticks_fall_due_from_the_start_on_without_drift(self) -> None:
        pace = Pace(10.0, start=100.0)
        assert not pace.due(99.9)
        total = 0
        for step in range(1, 1_001):
            total += len(pace.due(100.0 + step * 0.0373))
        assert total == int(1_000 * 0.0373 * 10) + 1

    def test_next_is_when_the_next_falls_due(self) -> None:
        pace = Pace(4.0, start=0.0)
        assert pace.next() == 0.0
        assert pace.due(0.0) == range(1)
        assert pace.next() == 0.25
        assert not pace.due(0.24)
        assert pace.due(pace.next()) == range(1, 2)
        assert pace.at(1) == 0.25

    def test_a_long_stall_is_made_up_in_part_and_leaves_no_debt(self) -> None:
        pace = Pace(1_000.0, start=0.0)
        pace.due(0.0)
        assert pace.due(60.0) == range(59_751, 60_001)
        assert not pace.due(60.0)
        assert len(pace.due(60.01)) == 10

    def test_after_a_stall_at_a_slow_rate_one_tick_is_due(self) -> None:
        pace = Pace(1.0, start=0.0)
        assert pace.due(10.0) == range(10, 11)
        assert pace.next() == 11.0

    @given(st.floats(0.01, 1e6), st.lists(st.floats(0, 0.2), max_size=50))
    @example(6.0, [0.1875])  # a quarter second's worth is one and a half: two may be due
    def test_short_delays_lose_no_tick(self, rate: float, delays: list[float]) -> None:
        pace, now, total = Pace(rate, start=0.0), 0.0, 0
        for delay in delays:
            now += delay
            total += len(pace.due(now))
        if delays:
            assert abs(total - (now * rate + 1)) <= max(1, now * rate * 1e-6)


class TestRun:
    async def test_the_first_quote_comes_at_once(self) -> None:
        async with running(Simulator(rate=0.001), "AAPL") as (sink, _):
            await sink.until_ticks(1)
            assert sink.opens == 1

    async def test_a_rate_is_held(self) -> None:
        loop = asyncio.get_running_loop()
        async with running(Simulator(rate=20_000), "AAPL") as (sink, _):
            start = loop.time()
            await sink.until_ticks(4_000)
            elapsed = loop.time() - start
            # Never early; how late depends on the machine.
            assert elapsed >= 3_900 / 20_000
            assert len(sink.batches) <= elapsed / 0.001 + 2

    async def test_the_sequence_is_that_of_the_walk(self) -> None:
        async with running(Simulator(rate=1_000, seed=5), "TSLA") as (sink, _):
            await sink.until_ticks(20)
        prices = [(t.bid, t.bid_size, t.ask, t.ask_size, t.last) for t in sink.ticks[:20]]
        wanted = walk(5, "TSLA", 20)
        assert prices == [(t.bid, t.bid_size, t.ask, t.ask_size, t.last) for t in wanted]

    async def test_a_feed_that_comes_back_goes_on_where_it_was(self) -> None:
        simulator = Simulator(rate=1_000, seed=5)
        bids: list[float | None] = []
        for _ in range(2):
            async with running(simulator, "TSLA") as (sink, _task):
                await sink.until_ticks(10)
            bids += [tick.bid for tick in sink.ticks]
        assert bids == [tick.bid for tick in walk(5, "TSLA", len(bids))]

    async def test_times_are_the_clocks(self) -> None:
        clock = iter(range(1_710_900_900_000_000_000, 1_710_900_901_000_000_000, 1_000))
        async with running(Simulator(rate=1_000, clock=lambda: next(clock)), "F") as (sink, _):
            await sink.until_ticks(1)
        assert sink.ticks[0].ts == "2024-03-20T02:15:00.000000000Z"

    async def test_a_tick_is_stamped_with_the_time_it_was_due(self) -> None:
        async with running(Simulator(rate=500), "AAPL") as (sink, _):
            await sink.until_ticks(40)
        stamps = [datetime.fromisoformat(tick.ts[:26] + "+00:00") for tick in sink.ticks[1:40]]
        steps = [(later - earlier).total_seconds() for earlier, later in pairwise(stamps)]
        whole = [abs(step / 0.002 - round(step / 0.002)) < 0.1 for step in steps]
        assert sum(whole) > len(whole) / 2, (
            steps
        )  # the clock is read slightly after the loop's time

    async def test_at_most_goes_batch_by_batch_when_the_sink_is_ready(self) -> None:
        class Slow(KeepingSink):
            async def ready(self) -> None:
                await super().ready()
                if self.readies == 3:
                    await asyncio.get_running_loop().create_future()

        sink = Slow()
        async with running(Simulator(rate=None), "AAPL", sink):
            await sink.until(lambda: sink.readies == 3)
            for _ in range(10):
                await asyncio.sleep(0)
        assert len(sink.batches) == 3
        assert set(sink.batches) == {128}

    async def test_at_most_leaves_the_loop_to_others(self) -> None:
        async with running(Simulator(rate=None), "AAPL") as (sink, _):
            await sink.until_ticks(1)
            before = len(sink.ticks)
            for _ in range(5):
                await asyncio.sleep(0)
            assert before < len(sink.ticks) <= before + 10 * 128

    async def test_the_quiet_symbol_opens_and_never_ticks(self) -> None:
        async with running(Simulator(rate=None), QUIET_SYMBOL) as (sink, task):
            await sink.until(lambda: sink.opens == 1)
            async with running(Simulator(rate=1_000), "AAPL") as (other, _):
                await other.until_ticks(50)
            assert not sink.ticks
            assert not task.done()

    async def test_an_unknown_symbol_is_refused(self) -> None:
        with pytest.raises(UnknownSymbolError, match="no NOSUCH"):
            await Simulator().run(Symbol("NOSUCH"), KeepingSink())
