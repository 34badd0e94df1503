"""Adds to the evidence what Prometheus knows: a longer history, and the active alerts of the service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qcfeed.config import PrometheusConfig
from qcfeed.diagnose.evidence import ActiveAlert, Evidence
from qcfeed.errors import QcfeedError

if TYPE_CHECKING:
    from qcfeed.metrics.prometheus import Prometheus

HISTORY_S = 3 * 3_600.0
"""Seconds of history to request."""


def add(settings: PrometheusConfig, evidence: Evidence, *, timeout: float) -> Evidence:
    """``evidence`` with Prometheus' history and alerts, or with a note why they are missing.

    ``timeout`` is in seconds, for all requests together. Raises nothing.
    """
    skipped = evidence.skipped
    if not settings.prometheus:
        return replace(
            evidence, skipped=[*skipped, "Prometheus: not configured (--prometheus URL)"]
        )
    # Imported here: it takes 100 ms, which is not needed without Prometheus.
    from qcfeed.metrics import prometheus_history
    from qcfeed.metrics.prometheus import Prometheus

    try:
        server = Prometheus(settings, timeout=timeout)
        timeline = prometheus_history.of(server, settings.prometheus_target, None, HISTORY_S)
        alerts = _alerts(server, timeline.target)
    except QcfeedError as error:
        return replace(evidence, skipped=[*skipped, f"Prometheus: {error.message}"])
    return replace(
        evidence,
        history=list(timeline.points),
        history_source="Prometheus",
        alerts=alerts,
        skipped=[*skipped, *(f"Prometheus: {each}" for each in timeline.missing)],
    )


def _alerts(server: Prometheus, target: str) -> list[ActiveAlert]:
    """The active alerts of the service, and those that name no instance."""
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
