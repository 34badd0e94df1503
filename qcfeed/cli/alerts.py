"""``qcfeed alerts``: what fires and what is pending, since when, and what to type first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import typer

from qcfeed.cli import prometheus
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.flags import with_flags
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.table import Column, Line, Table
from qcfeed.config import PrometheusConfig
from qcfeed.errors import ExitStatus
from qcfeed.metrics.growth_answer import stamp

FIRING = "firing"

app = new_app()


class Row(msgspec.Struct, kw_only=True):
    """One alert; ``value`` is what its expression gives now, null for none that is a number."""

    name: str
    state: str
    severity: str
    since: str
    active_s: float
    value: float
    summary: str
    runbook: str
    first: str
    labels: dict[str, str]


class Alerts(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.alerts/1"):
    """Firing first, then as long as they are active. ``rules``: how many alerts could fire."""

    at: str
    source: str
    firing: int
    pending: int
    rules: int
    alerts: list[Row]
    missing: list[str]


def _colour(alert: Row) -> str:
    return "red" if alert.state == FIRING else "yellow"


TABLE: Table[Row] = Table(
    (
        Column("name", header="ALERT", least=20, colour=_colour),
        Column("state", colour=_colour),
        Column("severity"),
        Column("active_s", header="FOR", show=formats.age, right=True),
        Column("since", header="SINCE (UTC)", show=formats.clock),
        Column("value", show=lambda v: f"{v:,.4g}", right=True),
        Column("instance", value=lambda a: a.labels.get("instance"), least=12, rank=1),
        Column("summary", wide=True),
        Column("runbook", wide=True),
        Column("first", wide=True),
    ),
    identity=lambda alert: alert.name,
)


def alerts(ctx: typer.Context, output: Output = Format.TABLE, **flags: Any) -> None:
    """List the alerts that fire or are pending, and what to do about each.

    From Prometheus, so it must be named: --prometheus, $QCFEED_PROMETHEUS or the configuration
    file. For each: since when, how severe, what its expression gives now, its runbook and what to
    type first.

    Exit status: 1 when an alert fires, 0 otherwise; 3 when Prometheus does not answer.
    """
    told = _asked(prometheus.chosen(ctx, flags).config, options(ctx).timeout)
    people = output in (Format.TABLE, Format.WIDE)
    if told.alerts or not people:
        render.show(output, TABLE, told.alerts, raw=msgspec.json.encode(told))
    if output is Format.TABLE:
        for advice in _advice(told.alerts):
            render.emit("\n")
            render.lines(advice)
    for missing in told.missing:
        say(f"note: {missing}")
    if not told.alerts:
        say(f"nothing fires and nothing is pending, of {formats.plural(told.rules, 'alert')}")
    if told.firing:
        raise typer.Exit(ExitStatus.FINDINGS)


def _asked(named: PrometheusConfig, timeout: float) -> Alerts:
    # 100 ms of import, for those who have a Prometheus to ask.
    from qcfeed.metrics import alerts as asking
    from qcfeed.metrics.prometheus import Prometheus

    server = Prometheus(named, timeout=timeout)
    active, rules = asking.active(server), asking.rules(server)
    now = server.now()
    rows = [
        Row(
            name=each.name,
            state=each.state,
            severity=each.severity,
            since=stamp(each.since),
            active_s=max(0.0, now - each.since),
            value=each.value,
            summary=each.summary,
            runbook=each.runbook,
            first=each.first,
            labels=dict(each.labels),
        )
        for each in active
    ]
    missing = [f"Prometheus warns: {warning}" for warning in server.warnings]
    if not rules:
        missing.append(f"{server.url} has no alert rules loaded: nothing can fire")
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


def _advice(rows: Sequence[Row]) -> Iterator[list[Line]]:
    """For each kind of alert, once: what it says, what to type first, and its runbook."""
    for name, alert in {row.name: row for row in rows}.items():
        said = f"{name}: {alert.summary}" if alert.summary else name
        advice = (("first", alert.first), ("runbook", alert.runbook))
        yield [
            Line(formats.printable(said), colour=_colour(alert)),
            *(Line(formats.printable(text), label, whole=True) for label, text in advice if text),
        ]


app.command(
    epilog=examples(
        "qcfeed alerts --prometheus http://prometheus:9090",
        "qcfeed alerts -o json | jq -r '.alerts[].first'",
        "watch -n 15 qcfeed alerts    # with QCFEED_PROMETHEUS set",
    )
)(with_flags(alerts, prometheus.declared()))
