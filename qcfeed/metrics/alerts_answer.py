"""The answer of ``qcfeed alerts``, from the answers of Prometheus."""

from __future__ import annotations

import math

from qcfeed import rfc3339
from qcfeed.metrics.alerts import FIRING, PrometheusAlert, active, rules
from qcfeed.metrics.prometheus import Prometheus
from qcfeed.model.alerts import AlertRow, Alerts


def answer(server: Prometheus) -> Alerts:
    """The alerts that are active now. Raises PrometheusError. Cost: two requests."""
    found, loaded = active(server), rules(server)
    now = server.now()
    rows = [_row(each, now) for each in found]
    missing = [f"Prometheus warns: {warning}" for warning in server.warnings]
    if not loaded:
        missing.append(f"{server.url} has no alert rules loaded, so no alert can fire")
    firing = sum(row.state == FIRING for row in rows)
    return Alerts(
        taken_at=rfc3339.seconds(now),
        at=rfc3339.seconds(now),
        source=server.url,
        firing=firing,
        pending=len(rows) - firing,
        rules=len(loaded),
        alerts=rows,
        missing=missing,
    )


def _row(alert: PrometheusAlert, now: float) -> AlertRow:
    return AlertRow(
        name=alert.name,
        state=alert.state,
        severity=alert.severity,
        since=rfc3339.seconds(alert.since),
        active_s=max(0.0, now - alert.since),
        current_value=None if math.isnan(alert.value) else alert.value,
        summary=alert.summary,
        runbook=alert.runbook,
        first=alert.first,
        labels=dict(alert.labels),
    )
