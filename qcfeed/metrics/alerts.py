"""The alerts of a Prometheus server: those firing or pending now, and those that fired at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from qcfeed.errors import PrometheusError
from qcfeed.metrics.claims import Claim, claims
from qcfeed.metrics.prometheus import Prometheus

FIRING = "firing"
_RUNBOOK = ("runbook_url", "runbook")
_FIRST = ("command", "first", "action", "next")
_SUMMARY = ("summary", "message", "description")
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")


class Alert(NamedTuple):
    """One alert. ``state``: ``firing`` or ``pending``. ``since``: when it became active, in Unix seconds.
    ``value``: the current value of its expression. ``first``: the command to run first."""

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


def active(server: Prometheus) -> list[Alert]:
    """Firing and pending alerts: firing ones first, then by how long they have been active.

    Raises PrometheusError. Cost: one request.
    """
    found = server.fetch("/api/v1/alerts")
    try:
        alerts = [_alert(each) for each in found["alerts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise PrometheusError(
            f"{server.url} answered with an unexpected list of alerts: {error!r}"
        ) from error
    return sorted(alerts, key=lambda each: (each.state != FIRING, each.since, each.name))


def rules(server: Prometheus) -> dict[str, Mapping[str, str]]:
    """The annotations of every alerting rule, by alert name. Raises PrometheusError."""
    return {
        rule["name"]: rule.get("annotations", {})
        for group in server.fetch("/api/v1/rules", type="alert")["groups"]
        for rule in group["rules"]
    }


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


def _alert(found: Mapping[str, Any]) -> Alert:
    labels, said = found["labels"], found.get("annotations", {})
    began = _NANOSECONDS.sub(r"\1", found["activeAt"])
    return Alert(
        name=labels["alertname"],
        state=found["state"],
        severity=labels.get("severity", ""),
        since=datetime.fromisoformat(began).timestamp(),
        value=float(found["value"]),
        summary=_first(said, _SUMMARY),
        runbook=_first(said, _RUNBOOK),
        first=_first(said, _FIRST),
        labels=labels,
        annotations=said,
    )


def _first(said: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((said[name] for name in names if said.get(name)), "")
