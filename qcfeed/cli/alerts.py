"""``qcfeed alerts``: lists firing and pending alerts with the first command to type for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from qcfeed.cli import prometheus, target
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.flags import with_flags
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.table import Column, Line, Table
from qcfeed.config import PrometheusConfig
from qcfeed.errors import ExitStatus
from qcfeed.metrics.growth_answer import stamp

if TYPE_CHECKING:
    from qcfeed.metrics.alerts import Alert as ActiveAlert

FIRING = "firing"

app = new_app()


class AlertRow(msgspec.Struct, kw_only=True):
    """One alert; ``current_value`` is the value of its expression, null if that is not a number."""

    name: str
    state: str
    severity: str
    since: str
    active_s: float
    current_value: float
    summary: str
    runbook: str
    first: str
    labels: dict[str, str]


class Alerts(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.alerts/2"):
    """The active alerts: firing first, then by age. ``rules``: the number of alert rules loaded."""

    at: str
    source: str
    firing: int
    pending: int
    rules: int
    alerts: list[AlertRow]
    missing: list[str]


def _colour(alert: AlertRow) -> str:
    return "red" if alert.state == FIRING else "yellow"


def _value(value: float) -> str:
    return formats.NOTHING if math.isnan(value) else f"{value:,.4g}"


TABLE: Table[AlertRow] = Table(
    (
        Column("name", header="ALERT", least=20, colour=_colour),
        Column("state", colour=_colour),
        Column("severity"),
        Column("active_s", header="FOR", show=formats.age, right=True),
        Column("since", header="SINCE (UTC)", show=formats.clock),
        Column("current_value", header="VALUE", show=_value, right=True),
        Column("instance", value=lambda a: a.labels.get("instance"), least=12, rank=1),
        Column("summary", wide=True),
        Column("runbook", wide=True),
        Column("first", wide=True),
    ),
    identity=lambda alert: alert.name,
)


def alerts(ctx: typer.Context, output: Output = Format.TABLE, **flags: Any) -> None:
    """List firing and pending alerts, and what to do about each.

    For each alert: its severity, since when it is active, the current value of its expression, its
    runbook, and the first command to type. Needs a Prometheus: --prometheus, $QCFEED_PROMETHEUS,
    or `prometheus` in the configuration file.

    Exit status: 1 if an alert is firing, 0 if not; 3 if Prometheus does not answer.
    """
    found = _query(prometheus.resolve(ctx, flags).config, options(ctx).timeout)
    if found.alerts or output not in (Format.TABLE, Format.WIDE):
        render.show(output, TABLE, found.alerts, raw=msgspec.json.encode(found))
    if output is Format.TABLE:
        for advice in _advice(found.alerts):
            render.emit("\n")
            render.lines(advice)
    for missing in found.missing:
        say(f"note: {missing}")
    if not found.alerts:
        say(f"none of {formats.plural(found.rules, 'alert')} is firing or pending")
    if found.firing:
        raise typer.Exit(ExitStatus.FINDINGS)


def _query(settings: PrometheusConfig, timeout: float) -> Alerts:
    # Imported here: it takes 100 ms, which other commands need not pay.
    from qcfeed.metrics import alerts as prometheus_alerts
    from qcfeed.metrics.prometheus import Prometheus

    server = Prometheus(settings, timeout=timeout)
    active, rules = prometheus_alerts.active(server), prometheus_alerts.rules(server)
    now = server.now()
    rows = [_row(each, now) for each in active]
    missing = [f"Prometheus warns: {warning}" for warning in server.warnings]
    if not rules:
        missing.append(f"{server.url} has no alert rules loaded, so no alert can fire")
    firing = sum(row.state == FIRING for row in rows)
    return Alerts(
        at=stamp(now),
        source=server.url,
        firing=firing,
        pending=len(rows) - firing,
        rules=len(rules),
        alerts=rows,
        missing=missing,
    )


def _row(alert: ActiveAlert, now: float) -> AlertRow:
    return AlertRow(
        name=alert.name,
        state=alert.state,
        severity=alert.severity,
        since=stamp(alert.since),
        active_s=max(0.0, now - alert.since),
        current_value=alert.value,
        summary=alert.summary,
        runbook=alert.runbook,
        first=alert.first,
        labels=dict(alert.labels),
    )


def _advice(rows: Sequence[AlertRow]) -> Iterator[list[Line]]:
    """For each alert name, once: its summary, the first command to type, and its runbook."""
    for name, alert in {row.name: row for row in rows}.items():
        heading = f"{name}: {alert.summary}" if alert.summary else name
        first = target.addressed(alert.first) if alert.first else ""
        advice = (("first", first), ("runbook", alert.runbook))
        yield [
            Line(formats.printable(heading), colour=_colour(alert)),
            *(Line(formats.printable(text), label, whole=True) for label, text in advice if text),
        ]


app.command(
    epilog=examples(
        "qcfeed alerts --prometheus http://prometheus:9090",
        "qcfeed alerts -o json | jq -r '.alerts[].first'",
        "qcfeed alerts --state firing --watch 15    # with QCFEED_PROMETHEUS set",
    )
)(listed(with_flags(alerts, prometheus.declared()), "state", "label", states=("state", "severity")))
