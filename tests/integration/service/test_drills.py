"""Each drill begins, is seen where it should be, ends by itself, and leaves nothing.

Around each test the books of the service must balance (conftest.py): no task, feed, connection or
socket that was not there before.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from qcfeed.diagnostics import orphans
from qcfeed.drills import catalog, client_faults, memory_growth
from qcfeed.drills.runner import DrillRunner
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.metrics import memory
from qcfeed.model.messages import Band, CloseCode
from qcfeed.upstreams.simulator import Simulator
from qcfeed.ws import connection
from tests.integration.service.conftest import FAR, Start
from tests.support.patience import PATIENCE
from tests.support.running_service import Running, until


def drills(running: Running) -> DrillRunner:
    found = running.service.drills.runner
    assert found is not None
    return found


async def begin(running: Running, drill: str, lasts: float = FAR) -> None:
    drills(running).start(catalog.parse(drill), lasts)


async def ended(running: Running) -> None:
    """A drill that is stopped explicitly, and cleaned up."""
    await drills(running).stop()
    assert running.service.drills.running() is None
    assert running.service.hub.observers == []
    assert not [each for each in threading.enumerate() if each.name == "qcfeed-drill"]


async def get(running: Running, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{running.http}{path}") as answer:
        return await answer.text()


async def metric(running: Running, name: str) -> float:
    lines = (await get(running, "/metrics")).splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))
    )


def audited(path: Path) -> list[tuple[str, ...]]:
    """The service's own actions in its audit log: action, reason, event or outcome."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    reasons = {line["id"]: line["request"]["why"] for line in lines if line["event"] == "intent"}
    assert {line["who"]["via"] for line in lines} <= {"service"}
    return [(line["action"], reasons[line["id"]], line.get("outcome", "intent")) for line in lines]


QUICK: dict[str, dict[str, Any]] = {
    "stuck-loop": {"number": 1},
    "memory-growth": {"number": 600},
    "zombie-feeds": {"number": 50},
    "slow-consumers": {"number": 2},
    "half-open-consumers": {"number": 2},
    "subscribe-storm": {"number": 500},
}


@pytest.mark.parametrize(
    "spec", [d for d in catalog.DRILLS if not d.role], ids=lambda spec: spec.name
)
async def test_a_drill_starts_is_shown_everywhere_and_ends_by_itself(
    spec: catalog.DrillSpec, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start(allow_drills=True, upstream="sim:?rate=5")
    assert await get(running, "/readyz") == "ready\n"
    assert await metric(running, "qcfeed_drill_active") == 0
    number = QUICK.get(spec.name, {}).get("number")
    order = catalog.parse(spec.name if number is None else f"{spec.name}={number}")

    drills(running).start(order, FAR)
    assert f"DRILL {order}: {spec.breaks}; for at most {FAR:g} s" in caplog.text
    assert running.service.drills.running() == str(order)
    if spec.name != "stuck-loop":  # its loop is blocked for now
        assert await get(running, "/readyz") == f"ready (DRILL {order})\n"
        assert await metric(running, "qcfeed_drill_active") == 1
    with pytest.raises(UsageError, match="one can run at a time"):
        drills(running).start(order)
    await ended(running)

    drills(running).start(order, 0.5)
    await until(lambda: running.service.drills.running() is None, "it ends by itself")
    assert f"DRILL {order}: its time is over" in caplog.text
    assert caplog.text.count(f"DRILL {order}: ended, and cleaned up") == 2
    await ended(running)
    assert await get(running, "/readyz") == "ready\n"
    await running.balanced()
    client = await running.client()
    assert (await client.message("quote"))["symbol"] == "AAPL"
    await client.leave()


async def test_a_service_without_drills_has_no_drill_code_in_its_path(start: Start) -> None:
    running = await start()
    assert running.service.drills.runner is None
    assert type(running.service.hub.upstream) is Simulator
    assert running.service.hub.wall_clock is time.time


@pytest.mark.parametrize("spec", [d for d in catalog.DRILLS if d.role], ids=str)
async def test_a_drill_of_another_role_is_refused(spec: catalog.DrillSpec, start: Start) -> None:
    running = await start(allow_drills=True)
    # A standby is a feeder, and a worker has a supervisor.
    needed = {"standby": "feeder", "worker": "process of serve --workers"}
    with pytest.raises(UsageError, match=f"needs a {needed.get(spec.role, spec.role)}"):
        drills(running).start(catalog.parse(spec.name))
    assert running.service.drills.running() is None


async def test_an_unknown_drill_is_refused_at_the_start(start: Start) -> None:
    with pytest.raises(NotFoundError, match="there is no drill"):
        await start(drill="zombies")


async def test_a_drill_started_with_the_service_lasts_for_the_given_time(start: Start) -> None:
    running = await start(drill="clock-jump", drill_for=0.2)
    await until(lambda: running.service.drills.running() is None, "it ends by itself")
    drills(running).start(catalog.parse("clock-jump"), 30)
    await drills(running).stop()
    with pytest.raises(UsageError, match="the maximum is 86,400 s"):
        drills(running).start(catalog.parse("clock-jump"), 1e6)


async def test_drills_started_and_ended_by_the_service_are_audited(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "audit.jsonl"
    running = await start(drill="clock-jump", drill_for=0.1, audit_log=str(log))
    await until(lambda: running.service.drills.running() is None, "it ends by itself")
    begun = [("drill start", "--drill", "intent"), ("drill start", "--drill", "done")]
    over = "its time is over"
    by_time = [("drill stop", over, "intent"), ("drill stop", over, "done")]
    assert audited(log) == begun + by_time

    await begin(running, "clock-jump")
    await running.service.stop()
    left = "the service stops"
    assert audited(log)[4:] == [("drill stop", left, "intent"), ("drill stop", left, "done")]


async def test_a_drill_ends_even_if_its_end_cannot_be_audited(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "audit.jsonl"
    running = await start(allow_drills=True, audit_log=str(log))
    log.unlink()
    log.mkdir()
    await begin(running, "clock-jump", 0.1)
    await until(lambda: running.service.drills.running() is None, "it ends by itself")
    assert "cannot audit its end" in caplog.text


async def test_stopping_the_service_ends_the_drill(start: Start) -> None:
    running = await start(drill="zombie-feeds=300")
    await until(lambda: len(orphans.find(running.ledger, time.monotonic())) == 300, "zombies")
    await running.service.stop()
    assert orphans.find(running.ledger, time.monotonic()) == []


async def test_a_silent_upstream_makes_symbols_stale_until_the_drill_ends(
    start: Start, never_late: None
) -> None:
    running = await start(allow_drills=True, stale_after=0.3, very_stale_after=30)
    client = await running.client()
    await client.message("quote")
    feed = running.feed()
    await until(lambda: feed.staleness.band is Band.LIVE, "it is live")
    await begin(running, "silent-upstream")
    last = feed.log.head
    await until(lambda: feed.staleness.band is Band.STALE, "it is stale")
    said = (await client.so_far("status"))[-1]
    assert (said["state"], said["reason"]) == ("stale", "upstream_silent")
    assert feed.log.head == last
    assert running.service.hub.upstream.health().connected
    await ended(running)
    await until(lambda: feed.staleness.band is Band.LIVE, "it is live again")
    assert (await client.so_far("status"))[-1]["state"] == "live"
    await client.leave()


async def test_a_flapping_upstream_is_down_and_its_feeds_reopen(start: Start) -> None:
    running = await start(allow_drills=True)
    client = await running.client()
    await client.message("quote")
    await begin(running, "flapping-upstream")
    await until(lambda: running.feed().restarts >= 2, "the feed was lost again and again")
    assert await metric(running, "qcfeed_upstream_connected") == 0
    assert "a drill cuts it" in str(running.feed().failure)
    await ended(running)
    assert await metric(running, "qcfeed_upstream_connected") == 1
    before = running.feed().log.head
    await until(lambda: running.feed().log.head > before + 5, "quotes come again")
    await client.leave()


async def test_invalid_ticks_reach_no_subscriber(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    running = await start(allow_drills=True, stale_after=0.3, very_stale_after=30)
    client = await running.client()
    first = await client.message("quote")
    await begin(running, "rubbish-upstream")
    feed = running.feed()
    await until(
        lambda: feed.invalid_ticks >= 5 and feed.staleness.band is Band.STALE, "no quote is left"
    )
    assert (await client.so_far("status"))[-1]["state"] == Band.STALE
    assert "invalid ticks dropped, last:" in str(running.feed().failure)
    assert caplog.text.count("dropped an invalid tick") == 1
    assert await metric(running, "qcfeed_quotes_refused_total") >= 5
    assert await metric(running, "qcfeed_feed_restarts_total") == 0
    await ended(running)
    after = await client.message("quote")
    assert 0 < after["bid"] < 10 * first["bid"]
    await client.leave()


async def test_the_stuck_loop_drill_blocks_the_loop(start: Start) -> None:
    running = await start(allow_drills=True)
    await begin(running, "stuck-loop=1")
    await asyncio.to_thread(_until_stuck, running, "compute_without_a_thread")
    await ended(running)


def _until_stuck(running: Running, function: str) -> None:
    watch, deadline = running.service.watch, time.monotonic() + PATIENCE
    while not (
        watch.stalled_for(time.monotonic()) > 0.3
        and any(function in line for line in watch.stack())
    ):
        assert time.monotonic() < deadline, f"the loop was never stuck in {function}"
        time.sleep(0.02)


async def test_slow_consumers_are_listed_and_leave_when_kicked(start: Start) -> None:
    running = await start(
        allow_drills=True, upstream="sim:?rate=50", send_buffer=4_608, subscribe_rate=100_000
    )
    await begin(running, "slow-consumers=3")
    gateway = running.service.gateway
    await until(lambda: gateway.lag_totals().slow == 3, "all three are behind")
    for each in list(gateway.connections):
        each.close(4411, "an operator", within=0.1)  # type: ignore[arg-type]
    await until(lambda: not gateway.connections, "they are gone, and do not come back")
    await ended(running)


async def test_slow_consumers_reconnect_when_the_service_drops_them(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_faults, "SLOW_EVERY", 0.1)
    running = await start(
        allow_drills=True, upstream="sim:?rate=50", send_buffer=4_608, subscribe_rate=100_000
    )
    await begin(running, "slow-consumers=3")
    gateway = running.service.gateway
    await until(lambda: len(gateway.connections) == 3, "all three are there")
    [first, second, third] = list(gateway.connections)
    first.abort("4408")
    await until(lambda: gateway.opened == 4, "one comes back")
    second.close(CloseCode.KICKED, "an operator", within=0.1)
    third.abort("4408")
    await until(lambda: gateway.opened == 5, "the other too, and not who was told to go")
    await until(lambda: len(gateway.connections) == 2, "two are left")
    await ended(running)


async def test_half_open_consumers_are_dropped_and_replaced(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT", 0.2)  # they do not answer a close frame either
    running = await start(allow_drills=True, ping_interval=0.2, stall_timeout=0.5)
    await begin(running, "half-open-consumers=3")
    gateway = running.service.gateway
    await until(lambda: gateway.opened >= 3, "they come")
    await until(lambda: gateway.closed["4412"] >= 3, "the service ends them")
    await until(lambda: gateway.opened >= 6, "the link dies again")
    await ended(running)
    assert not gateway.connections


async def test_a_storm_continues_when_its_clients_are_closed(start: Start) -> None:
    running = await start(allow_drills=True)
    await begin(running, "subscribe-storm=2000")
    gateway = running.service.gateway
    await until(lambda: gateway.opened >= 1, "one comes")
    for each in list(gateway.connections):
        each.abort("4408")
    before = gateway.opened
    await until(lambda: gateway.opened >= before + 2, "others come")
    await ended(running)


async def test_a_storm_is_rate_limited_and_leaves_no_feed(start: Start) -> None:
    running = await start(allow_drills=True, subscribe_rate=20)  # a busy machine exceeds it, too
    await begin(running, "subscribe-storm=20000")
    gateway = running.service.gateway
    await until(lambda: gateway.refused["subscribe_rate"] > 100, "it is refused")
    await until(lambda: gateway.opened >= 3, "its clients come and go")
    await ended(running)
    await running.balanced()


async def test_lost_subscriptions_are_orphans_until_reaped_or_the_drill_ends(start: Start) -> None:
    running = await start(allow_drills=True)
    hub = running.service.hub
    await begin(running, "lost-readers=20")
    assert len(hub.orphaned_subscriptions()) == 20
    assert hub.sweep_orphans() == 20
    assert hub.orphaned_subscriptions() == []
    await ended(running)
    await begin(running, "lost-readers=20")
    await ended(running)
    assert hub.orphaned_subscriptions() == []


async def test_zombies_grow_at_the_given_rate_and_end_with_the_drill(start: Start) -> None:
    running = await start(allow_drills=True)
    await begin(running, "zombie-growth=6000")
    await until(lambda: len(orphans.find(running.ledger, time.monotonic())) > 60, "they grow")
    await ended(running)
    assert orphans.find(running.ledger, time.monotonic()) == []


async def test_memory_grows_up_to_the_cap_and_is_released(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    megabyte = memory_growth.MEGABYTE
    monkeypatch.setattr(memory_growth, "CAP", 32 * megabyte)
    running = await start(allow_drills=True)
    real, before = memory.limit(), memory.resident()
    await begin(running, "memory-growth=6000")
    told = memory.limit()
    assert told.source == "drill"
    assert told.bytes < real.bytes
    await until(lambda: memory.resident() > before + 30 * megabyte, "memory grows")
    drill: Any = drills(running).active.drill  # type: ignore[union-attr]
    await until(lambda: drill.held_bytes == 32 * megabyte, "and stands at the cap")
    await asyncio.sleep(0.6)
    assert drill.held_bytes == 32 * megabyte
    assert memory.resident() > 0.85 * told.bytes
    most = memory.resident()
    await ended(running)
    assert memory.limit() == real
    assert memory.resident() < most - 16 * megabyte


async def test_a_clock_jump_changes_only_timestamps(start: Start) -> None:
    running = await start(allow_drills=True, upstream="sim:?rate=20", stale_after=200)
    client = await running.client()
    before = _at(await client.message("quote"))
    await begin(running, "clock-jump=-7200")
    seen = [await client.message("quote") for _ in range(20)]
    assert -7_300 < _at(seen[-1]) - before < -7_000
    assert [each["seq"] for each in seen] == list(range(seen[0]["seq"], seen[0]["seq"] + 20))
    assert running.feed().staleness.band is Band.LIVE
    await ended(running)
    assert abs(running.service.hub.wall_clock() - time.time()) < 60
    await client.leave()


def _at(quote: dict[str, Any]) -> float:
    return datetime.fromisoformat(quote["ts"]).timestamp()
