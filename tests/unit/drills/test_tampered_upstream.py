"""The layer between upstream and feeds that drills use, over the real simulator."""

from __future__ import annotations

import asyncio

import pytest

from qcfeed.drills.tampered_upstream import TamperedUpstream
from qcfeed.drills.upstream_faults import InvalidTicksUpstream
from qcfeed.errors import UpstreamError
from qcfeed.model.messages import find_fault
from qcfeed.upstreams.simulator import Simulator
from tests.support.sinks import running


async def test_everything_is_passed_through_by_default() -> None:
    upstream = TamperedUpstream(Simulator(rate=500))
    assert upstream.name == Simulator(rate=500).name
    assert upstream.knows(upstream.symbols()[0])
    async with running(upstream, "AAPL") as (sink, _):
        await sink.until_ticks(5)
    assert sink.opens == 1
    assert upstream.health().connected
    assert not upstream.runs


async def test_ticks_are_dropped_while_altered() -> None:
    upstream = TamperedUpstream(Simulator(rate=500))
    async with running(upstream, "AAPL") as (sink, _):
        await sink.until_ticks(1)
        upstream.alter = lambda _: ()
        had = len(sink.ticks)
        await asyncio.sleep(0.05)
        assert len(sink.ticks) == had
        upstream.alter = None
        await sink.until_ticks(had + 1)


async def test_limiting_runs_fails_current_and_future_runs() -> None:
    upstream = TamperedUpstream(Simulator(rate=500))
    async with running(upstream, "AAPL") as (_, before), running(upstream, "MSFT") as (_, other):
        await asyncio.sleep(0)
        upstream.limit_runs(0.01)
        assert not upstream.health().connected
        for run in (
            before,
            other,
            asyncio.create_task(upstream.run(upstream.symbols()[0], sink())),
        ):
            with pytest.raises(UpstreamError, match="a drill cuts it"):
                await run
    assert upstream.health().reconnects == 3
    upstream.limit_runs(None)
    assert upstream.health().connected
    async with running(upstream, "AAPL") as (again, _):
        await again.until_ticks(20)
    assert not upstream.runs


def sink() -> object:
    from qcfeed.upstreams.conformance import KeepingSink

    return KeepingSink()


async def test_a_cancelled_run_is_not_a_lost_connection() -> None:
    upstream = TamperedUpstream(Simulator(rate=1))
    async with running(upstream, "AAPL") as (_, run):
        await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait([run])
        assert run.cancelled()
    assert upstream.health().reconnects == 0


async def test_every_invalid_tick_is_recognised() -> None:
    async with running(Simulator(rate=500), "AAPL") as (sound, _):
        await sound.until_ticks(10)
    assert {find_fault(tick) for tick in sound.ticks} == {None}

    class On:
        upstream = TamperedUpstream(Simulator())

    drill = InvalidTicksUpstream(On(), 0)  # type: ignore[arg-type]
    drill.start()
    corrupt = On.upstream.alter
    assert corrupt is not None
    corrupted = [tick for each in sound.ticks for tick in corrupt([each])]
    assert [find_fault(tick) for tick in corrupted[:5]] == [
        "bid nan", "ask -1.0", "last inf", "bid size -100", "time 'yesterday'",
    ]  # fmt: skip
