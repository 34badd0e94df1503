"""What Prometheus adds to the evidence: a longer memory, and the alerts that fire for the service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qcfeed.config import PrometheusConfig
from qcfeed.diagnose.evidence import ActiveAlert, Evidence
from qcfeed.errors import QcfeedError

if TYPE_CHECKING:
    from qcfeed.metrics.prometheus import Prometheus

BACK = 3 * 3_600.0
"""Seconds of history that are asked for."""


def add(named: PrometheusConfig, seen: Evidence, *, timeout: float) -> Evidence:
    """``seen`` with what the Prometheus that is named knows; else why it is not there. ``timeout`` is
    in seconds, for all that is asked."""
    if not named.prometheus:
        return replace(
            seen, skipped=[*seen.skipped, "Prometheus: none is named (--prometheus URL)"]
        )
    # 100 ms of import, for those who have a Prometheus to ask.
    from qcfeed.metrics import prometheus_history
    from qcfeed.metrics.prometheus import Prometheus

    try:
        server = Prometheus(named, timeout=timeout)
        told = prometheus_history.of(server, named.prometheus_target, None, BACK)
        found = _alerts(server, told.target)
    except QcfeedError as error:
        return replace(seen, skipped=[*seen.skipped, f"Prometheus: {error.message}"])
    skipped = [*seen.skipped, *(f"Prometheus: {each}" for each in told.missing)]
    return replace(
        seen, history=list(told.points), history_source="Prometheus", alerts=found, skipped=skipped
    )


def _alerts(server: Prometheus, target: str) -> list[ActiveAlert]:
    """Those of the service, and those that name no instance."""
    from qcfeed.metrics import alerts

    now = server.now()
    return [
        ActiveAlert(
            name=each.name,
            state=each.state,
            active_s=now - each.since,
            value=each.value,
            summary=each.summary,
            first=each.first,
        )
        for each in alerts.active(server)
        if target.endswith(each.labels.get("instance", ""))
    ]
