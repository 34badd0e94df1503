"""Adds to the evidence what Prometheus knows: a longer history, and the active alerts of the service."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from qcfeed.config import PrometheusConfig
from qcfeed.diagnose.evidence import ActiveAlert, Evidence
from qcfeed.errors import QcfeedError
from qcfeed.model.alerts import Alerts
from qcfeed.model.answer import Answer
from qcfeed.observe.bundle import ALERTS, PROMETHEUS_HISTORY

if TYPE_CHECKING:
    from qcfeed.metrics.prometheus import Prometheus
    from qcfeed.metrics.timeline import Timeline

HISTORY_S = 3 * 3_600.0
"""Seconds of history to request."""


Keep = Callable[[str, Answer], None]
"""Takes an answer, and the name under which a bundle keeps it."""


def add(
    settings: PrometheusConfig, evidence: Evidence, *, timeout: float, keep: Keep | None = None
) -> Evidence:
    """``evidence`` with Prometheus' history and alerts, or with a note why they are missing.

    ``timeout`` is in seconds, for all requests together. ``keep`` is called with what Prometheus said.
    Raises nothing.
    """
    skipped = evidence.skipped
    if not settings.prometheus:
        return replace(
            evidence, skipped=[*skipped, "Prometheus: not configured (--prometheus URL)"]
        )
    # Imported here: it takes 100 ms, which is not needed without Prometheus.
    from qcfeed.metrics import alerts_answer, prometheus_history
    from qcfeed.metrics.prometheus import Prometheus

    try:
        server = Prometheus(settings, timeout=timeout)
        timeline = prometheus_history.of(server, settings.prometheus_target, None, HISTORY_S)
        alerts = alerts_answer.answer(server)
        if keep is not None:
            keep(ALERTS, alerts)
            keep(PROMETHEUS_HISTORY, _history(server, timeline))
    except QcfeedError as error:
        return replace(evidence, skipped=[*skipped, f"Prometheus: {error.message}"])
    return replace(
        evidence,
        history=list(timeline.points),
        history_source="Prometheus",
        alerts=_of_service(alerts, timeline.target),
        skipped=[*skipped, *(f"Prometheus: {each}" for each in timeline.missing)],
    )


def _history(server: Prometheus, timeline: Timeline) -> Answer:
    """The history, and the growth rates that alerts claimed at its end."""
    from qcfeed.metrics import alerts, saved_timeline

    claims = alerts.claimed(server, timeline.target, timeline.at)
    return saved_timeline.saved(timeline, claims, server.url)


def _of_service(found: Alerts, target: str) -> list[ActiveAlert]:
    """The active alerts of the service, and those that name no instance."""
    return [
        ActiveAlert(
            name=each.name,
            state=each.state,
            active_s=each.active_s,
            value=math.nan if each.current_value is None else each.current_value,
            summary=each.summary,
            first=each.first,
        )
        for each in found.alerts
        if target.endswith(each.labels.get("instance", ""))
    ]
