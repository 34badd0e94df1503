from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from qcfeed.cli.status import findings
from qcfeed.control import routes
from qcfeed.errors import ExitStatus
from qcfeed.model.status import Bands, Listening, Memory, ServiceStatus
from qcfeed.model.tasks import TaskTotals


def status(**changes: Any) -> ServiceStatus:
    healthy = ServiceStatus(
        version="0.1.0", state="serving", drill=None, started_at="2024-03-20T00:00:00Z",
        uptime_s=8_100.0, loop_lag_ms=0.4,
        memory=Memory(resident_bytes=2**30, limit_bytes=2**34, limit_source="cgroup v2"),
        listening=Listening(websocket="127.0.0.1:8006", admin="127.0.0.1:8006", control="/s"),
        upstream="sim:", upstream_connected=True, upstream_reconnects=0, upstream_gaps=0,
        connections=3, connections_limit=20_000, feed_count=2, feeds_by_state={"wanted/open": 2},
        subscriptions=3, subscribers_per_symbol=1.5, orphaned_tasks=0, orphaned_subscriptions=0,
        staleness=Bands(live=2), totals=TaskTotals(live=9, spawned=20, finished=11),
    )  # fmt: skip
    return msgspec.structs.replace(healthy, **changes)


def test_a_healthy_service_has_no_findings() -> None:
    assert list(findings(status())) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"orphaned_tasks": 47_829}, "47,829 orphaned tasks, 0 orphaned subscriptions"),
        ({"orphaned_subscriptions": 1}, "0 orphaned tasks, 1 orphaned subscription"),
        ({"loop_stall_ms": 5_000.0}, "the loop has been stuck for 5.0 s"),
        (
            {"memory": Memory(resident_bytes=89, limit_bytes=100, limit_source="machine")},
            "memory is at 89% of its limit",
        ),
        ({"staleness": Bands(dead=1)}, "1 symbol dead"),
        ({"upstream_connected": False}, "upstream sim: is down while subscribers wait"),
        (
            {"drill": "zombie-feeds"},
            "drill zombie-feeds is active: a fault was injected on purpose",
        ),
    ],
)
def test_each_problem_is_one_finding(changes: dict[str, Any], said: str) -> None:
    [(what, next_command)] = findings(status(**changes))
    assert what.startswith(said)
    assert next_command


def test_an_upstream_without_subscribers_may_be_down() -> None:
    assert list(findings(status(upstream_connected=False, subscriptions=0))) == []


async def test_the_screen_and_its_exit_status(watched, qcfeed_) -> None:
    current = status()
    watched.serve(routes=[routes.ReadRoute(routes.STATUS, routes.NoQuery, lambda _: current)])
    left = await asyncio.to_thread(qcfeed_, "status")
    assert (left.status, left.err) == (ExitStatus.OK, "")
    assert "memory         1.0 GiB of 16.0 GiB, 6% (cgroup v2)\n" in left.out
    assert "subscriptions  3, 1.5 per symbol; 3 connections of at most 20,000\n" in left.out
    assert "monitor" not in left.out

    current = status(drill="zombie-feeds=5", orphaned_tasks=5)
    left = await asyncio.to_thread(qcfeed_, "status")
    assert left.status == ExitStatus.FINDINGS
    assert left.out.startswith("DRILL")
    assert "finding: 5 orphaned tasks" in left.err
    assert "  next: `qcfeed orphans`" in left.err
    document = await asyncio.to_thread(qcfeed_, "status", "-o", "json")
    assert document.status == ExitStatus.FINDINGS
    assert json.loads(document.out)["schema"] == "qcfeed.status/2"
    name = await asyncio.to_thread(qcfeed_, "status", "-o", "name")
    assert name.out == "8006\n"
