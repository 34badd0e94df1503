"""The alerts of a Prometheus server: those firing or pending now, and those that fired at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from qcfeed.metrics.claims import Claim, claims
from qcfeed.metrics.prometheus import Prometheus
from qcfeed.metrics.prometheus_answers import (
    REPLICA_LABELS,
    AlertData,
    AlertsData,
    RulesData,
)

FIRING = "firing"
_RUNBOOK = ("runbook_url", "runbook")
_FIRST = ("command", "first", "action", "next")
_SUMMARY = ("summary", "message", "description")
_NANOSECONDS = re.compile(r"(\.[0-9]{6})[0-9]+")
_MAX_TEXT = 2_000
"""Characters of a label or annotation that are kept."""
_MAX_TIME = 64
"""Characters of a time that are parsed."""
_EPOCH_YEAR = 1970


class PrometheusAlert(NamedTuple):
    """One active alert. ``state``: ``firing`` or ``pending``. ``since``: when it became so, in Unix seconds.

    ``value``: the current value of its expression; NaN if the server gives none. ``first``: the command to
    run first.
    """

    name: str
    state: str
    severity: str
    since: float
    value: float
    summary: str
    runbook: str
    first: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def active(server: Prometheus) -> list[PrometheusAlert]:
    """Firing and pending alerts: firing ones first, then by how long they have been active.

    Raises PrometheusError. Cost: one request.
    """
    found = server.fetch("/api/v1/alerts", AlertsData)
    now = server.now()
    alerts = {_identity(each): each for each in found.alerts or ()}
    return sorted(
        (_alert(each, now) for each in alerts.values()),
        key=lambda each: (each.state != FIRING, each.since, each.name),
    )


def rules(server: Prometheus) -> dict[str, Mapping[str, str]]:
    """The annotations of every alerting rule, by alert name. Raises PrometheusError."""
    found = server.fetch("/api/v1/rules", RulesData, type="alert")
    return {rule.name: _clipped(rule.annotations) for rule in found.rules()}


def claimed(server: Prometheus, target: str, at: float) -> list[Claim]:
    """The memory growth rates that alerts firing for ``target`` (job/instance) at ``at`` claimed.

    They are found in the annotations. Prometheus keeps which alerts fired, but not their annotations,
    so these are taken from the alerts active now, else from the current rules. Raises PrometheusError.
    Cost: three requests.
    """
    fired = [
        each.labels
        for each in server.instant(f'ALERTS{{alertstate="{FIRING}"}}', at)
        if _about(each.labels.get("instance"), target)
    ]
    if not fired:
        return []
    texts = rules(server) | {each.name: each.annotations for each in active(server)}
    names = dict.fromkeys(labels.get("alertname", "") for labels in fired)
    return [claim for name in names for claim in claims(name, list(texts.get(name, {}).values()))]


def _about(instance: str | None, target: str) -> bool:
    """Whether an alert is about the target; an alert without an instance is about all targets."""
    return instance is None or target == instance or target.endswith(f"/{instance}")


def _identity(found: AlertData) -> frozenset[tuple[str, str]]:
    """The labels that identify an alert, however many replicas of the server evaluate it."""
    labels = (found.labels or {}).items()
    return frozenset((name, value) for name, value in labels if name not in REPLICA_LABELS)


def _alert(found: AlertData, now: float) -> PrometheusAlert:
    labels, annotations = _clipped(found.labels), _clipped(found.annotations)
    return PrometheusAlert(
        name=labels.get("alertname", "(unnamed)"),
        state=found.state[:_MAX_TEXT],
        severity=labels.get("severity", ""),
        since=_since(found.active_at, now),
        value=_number(found.value),
        summary=_first(annotations, _SUMMARY),
        runbook=_first(annotations, _RUNBOOK),
        first=_first(annotations, _FIRST),
        labels=labels,
        annotations=annotations,
    )


def _since(text: str | None, now: float) -> float:
    """When an alert became active; ``now`` if the server does not say."""
    try:
        began = datetime.fromisoformat(_NANOSECONDS.sub(r"\1", (text or "")[:_MAX_TIME]))
        return began.timestamp() if began.year >= _EPOCH_YEAR else now
    except (ValueError, OverflowError):
        return now


def _number(value: str | float | None) -> float:
    try:
        return math.nan if value is None else float(value)
    except ValueError:
        return math.nan


def _clipped(texts: Mapping[str, str] | None) -> dict[str, str]:
    """Labels or annotations, each of bounded length, because patterns search them."""
    return {name: text[:_MAX_TEXT] for name, text in (texts or {}).items()}


def _first(annotations: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((annotations[name] for name in names if annotations.get(name)), "")
