"""Builders of evidence: a healthy service, with the changes that a test makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.metrics.growth import Point
from qcfeed.model.feeds import FeedStatus
from qcfeed.model.findings import Findings
from qcfeed.model.orphans import Orphan, Orphans
from qcfeed.model.status import Bands, Listening, Memory, ServiceStatus
from qcfeed.model.subscribers import SubscriberStatus
from qcfeed.model.tasks import Location, TasksByLocation, TaskTotals, WaitCount

AT = datetime(2024, 3, 20, 2, 15, tzinfo=UTC)
SECONDS = 5.0
GIB = 2**30
LEAKY = "feed.py:83"


def location(name: str = LEAKY, *, live: int = 0, orphaned: int = 0, **more: Any) -> Location:
    given: dict[str, Any] = {
        "function": "start",
        "spawned": live,
        "finished": 0,
        "cancelled": 0,
        "failed": 0,
        "destroyed": 0,
        "oldest_s": 600.0,
    }
    return Location(location=name, live=live, orphaned=orphaned, **given | more)


def snapshot(*rows: Location, after_s: float = 0.0, stall_ms: float = 0.0) -> TasksByLocation:
    totals = TaskTotals(
        live=sum(row.live for row in rows),
        spawned=sum(row.spawned for row in rows),
        orphaned=sum(row.orphaned for row in rows),
    )
    return TasksByLocation(
        totals=totals,
        locations=list(rows),
        pid=7,
        instance="8006",
        taken_at=(AT + timedelta(seconds=after_s)).isoformat(),
        loop_stall_ms=stall_ms,
    )


def rule(name: str, at: str = LEAKY, *, sure: bool = True, **more: Any) -> Finding:
    given: dict[str, Any] = {
        "summary": f"{name} of {at}",
        "evidence": ["evidence of it"],
        "serials": [],
        "recheck_s": None if sure else 60.0,
        "next": ["qcfeed tasks"],
        "certainty": Certainty.PROVED if sure else Certainty.SUSPECTED,
    }
    return Finding(rule=name, location=at, **given | more)


def ledger_findings(
    *rules: Finding, explained: Sequence[str] = (), watched_s: float = 600.0
) -> Findings:
    found = Counter(each.certainty for each in rules)
    return Findings(
        proved=found[Certainty.PROVED],
        likely=found[Certainty.LIKELY],
        suspected=found[Certainty.SUSPECTED],
        findings=list(rules),
        snapshots=60,
        watched_s=watched_s,
        skipped=[],
        explained=list(explained),
    )


def orphans(*slept_s: float | None, owner: str = "subscriber 812 of AAPL") -> Orphans:
    rows = [
        Orphan(
            serial=serial,
            symbol="AAPL",
            location=LEAKY,
            age_s=900.0,
            reason=f"owner {owner} closed 720.0 s ago; task sleeping",
            owner=owner,
            owner_gone_s=720.0,
            sleeping_s=slept,
        )
        for serial, slept in enumerate(slept_s)
    ]
    return Orphans(total=len(rows), orphans=rows)


def feed(symbol: str, *, band: str = "live", reason: str | None = None, **more: Any) -> FeedStatus:
    given: dict[str, Any] = {
        "demand": "wanted",
        "upstream_state": "open",
        "subscriber_count": 2,
        "generation": 1,
        "last_quote_at": None,
        "age_s": 0.1 if band == "live" else 30.0,
        "quotes": 9,
        "quotes_per_s": 1.0,
        "restarts": 0,
    }
    return FeedStatus(symbol=symbol, band=band, reason=reason, **given | more)


def subscriber(number: int, *, stalled_s: float = 12.0, **more: Any) -> SubscriberStatus:
    given: dict[str, Any] = {
        "peer": f"10.0.0.{number}:4000",
        "symbols": ["AAPL", "MSFT", "GOOGL", "TSLA"],
        "held": 6,
        "policy": "conflate",
        "compressed": False,
        "lag": 1_024,
        "lag_bytes": 100_000,
        "kernel_bytes": 31_072,
        "age_s": 60.0,
        "conflated": 340,
        "dropped": 0,
        "slow": True,
    }
    return SubscriberStatus(id=number, stalled_s=stalled_s, **given | more)


def status(*, connected: bool = True, drill: str | None = None) -> ServiceStatus:
    return ServiceStatus(
        version="0",
        state="serving",
        drill=drill,
        started_at="",
        uptime_s=3600,
        loop_lag_ms=0,
        memory=Memory(resident_bytes=GIB, limit_bytes=16 * GIB, limit_source="cgroup v2"),
        listening=Listening(websocket="", admin="", control=""),
        upstream="sim:",
        upstream_connected=connected,
        upstream_reconnects=0,
        upstream_gaps=0,
        connections=2,
        connections_limit=10,
        feed_count=2,
        feeds_by_state={},
        subscriptions=4,
        subscribers_per_symbol=2,
        orphaned_tasks=0,
        orphaned_subscriptions=0,
        staleness=Bands(live=2),
        totals=TaskTotals(live=2),
    )


def memory(held: float, limit: float = 16 * GIB) -> Memory:
    return Memory(resident_bytes=round(held), limit_bytes=round(limit), limit_source="cgroup")


def samples(mb_per_s: float, *, live: int = 2, tasks_per_s: float = 0.0) -> list[Point]:
    """Two samples per second of memory that grows linearly from 1 GiB."""
    return [
        Point(
            step / 2, round(GIB + mb_per_s * step / 2 * 2**20), round(live + tasks_per_s * step / 2)
        )
        for step in range(11)
    ]


def healthy(**changed: Any) -> Evidence:
    """The evidence of a healthy service with two feeds, with ``changed`` fields."""
    healthy = Evidence(
        before=snapshot(location("hub.py:9", live=2)),
        after=snapshot(location("hub.py:9", live=2), after_s=SECONDS),
        memory=Memory(resident_bytes=GIB, limit_bytes=16 * GIB, limit_source="cgroup v2"),
        status=status(),
        findings=ledger_findings(),
        orphans=Orphans(total=0, orphans=[]),
        feeds=[feed("AAPL"), feed("MSFT")],
        samples=samples(0.0),
    )
    return replace(healthy, **changed)


def leak(count: int = 20_000, more: int = 60, **changed: Any) -> Evidence:
    """The evidence of the incident: orphans that wake every second, find no receiver, and sleep again."""
    row = location(
        live=count,
        orphaned=count,
        source="tokio_spawn(generate())",
        waits=[WaitCount(state="sleeping", count=500)],
        sampled=500,
    )
    given: dict[str, Any] = {
        "before": snapshot(location(live=count - more, orphaned=count - more)),
        "after": snapshot(row, after_s=SECONDS),
        "findings": ledger_findings(rule("orphans", count=count, since_s=13_620.0)),
        "orphans": orphans(0.4, 0.1, 900.0),
    }
    return healthy(**given | changed)
