"""Builders of test data: snapshots, findings and diagnoses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from qcfeed.cli.top.observer import ListTarget, ServiceSnapshot
from qcfeed.diagnostics.findings import Certainty
from qcfeed.metrics.growth import Point
from qcfeed.model.diagnosis import Diagnosis, DiagnosisFinding
from qcfeed.model.status import Memory, ProgramStatus
from qcfeed.model.tasks import Location, TasksByLocation, TaskTotals
from qcfeed.observe.tracker import ServiceHealth

BEGAN = datetime(2024, 3, 20, 2, 15, tzinfo=UTC)
LEAKING, HEALTHY = "feed.py:83", "run.py:40"


def location(where: str, live: int, *, orphaned: int = 0, spawned: int | None = None) -> Location:
    return Location(
        location=where,
        function="spawn",
        live=live,
        spawned=live if spawned is None else spawned,
        finished=0,
        cancelled=0,
        failed=0,
        destroyed=0,
        oldest_s=60.0 if live else None,
        orphaned=orphaned,
    )


def snapshot(second: float, *rows: Location, since: str = "1") -> TasksByLocation:
    return TasksByLocation(
        pid=7,
        instance="8006",
        since=since,
        taken_at=(BEGAN + timedelta(seconds=second)).isoformat(),
        totals=TaskTotals(live=sum(row.live for row in rows)),
        locations=list(rows),
    )


def process(**more: Any) -> ProgramStatus:
    return ProgramStatus(
        pid=7,
        instance="8006",
        taken_at=BEGAN.isoformat(),
        python="3.11.9",
        attached_at=BEGAN.isoformat(),
        attached_s=60.0,
        loop_lag_ms=0.2,
        memory=Memory(resident_bytes=2**30, limit_bytes=2**32, limit_source="machine"),
        totals=TaskTotals(live=12, orphaned=3),
        **more,
    )


def finding(rule: str = "zombies", **more: Any) -> DiagnosisFinding:
    return DiagnosisFinding(
        rule=rule,
        kind="LEAK",
        certainty=Certainty.PROVED,
        urgency=90,
        headline=f"3 tasks from {LEAKING} serve nobody",
        cause="they ignore failed sends",
        **more,
    )


def health(*findings: DiagnosisFinding, **more: Any) -> ServiceHealth:
    diagnosis = Diagnosis(
        verdict=findings[0].rule if findings else "healthy",
        headline="HEALTHY  12 tasks",
        window_s=30.0,
        findings=list(findings),
        to_recheck=[],
        checks=[],
        skipped=[],
    )
    history = [Point(float(at), memory=each) for at, each in enumerate(more.get("memory", []))]
    return ServiceHealth(diagnosis, history, more.get("worst"))


def refreshed(view: str = "locations", rows: tuple[Any, ...] = (), **more: Any) -> ServiceSnapshot:
    given: dict[str, Any] = {
        "target": ListTarget(view),
        "process": process(),
        "totals": [10, 11, 12],
        "per_minute": 60.0,
        "span_s": 2.0,
        "rows": list(rows),
        "total": len(rows),
        "restarts": 0,
        "stuck_s": 0.0,
        "stack": [],
        "took_s": 0.01,
    }
    return ServiceSnapshot(**(given | more))
