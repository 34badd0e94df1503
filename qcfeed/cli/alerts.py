"""``qcfeed alerts``: lists firing and pending alerts with the first command to type for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer

from qcfeed.cli import prometheus, saved_files, target
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.saved_files import From
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.table import Column, LabelledLine, Table
from qcfeed.errors import ExitStatus
from qcfeed.model.alerts import AlertRow, Alerts
from qcfeed.observe.bundle import ALERTS

FIRING = "firing"

app = new_app()


def _colour(alert: AlertRow) -> str:
    return "red" if alert.state == FIRING else "yellow"


def _value(value: float) -> str:
    return f"{value:,.4g}"


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


def alerts(
    ctx: typer.Context, source: From = None, output: Output = Format.TABLE, **flags: Any
) -> None:
    """List firing and pending alerts, and what to do about each.

    For each alert: its severity, since when it is active, the current value of its expression, its
    runbook, and the first command to type. Needs a Prometheus: --prometheus, $QCFEED_PROMETHEUS,
    or `prometheus` in the configuration file; or a bundle that was written with one.

    Exit status: 1 if an alert is firing, 0 if not; 3 if Prometheus does not answer.
    """
    found = _saved(source, flags) if source else _query(ctx, flags)
    if found.alerts or output not in (Format.TABLE, Format.WIDE):
        render.show(output, TABLE, found.alerts, raw=msgspec.json.encode(found))
    if output is Format.TABLE:
        for advice in _advice(found.alerts):
            render.emit("\n")
            render.lines(advice)
    for missing in found.missing:
        say(f"note: {missing}")
    if not found.alerts:
        state = "is" if source is None else "was"
        say(f"none of {formats.plural(found.rules, 'alert')} {state} firing or pending")
    if found.firing:
        raise typer.Exit(ExitStatus.FINDINGS)


def _saved(source: Path, flags: dict[str, Any]) -> Alerts:
    prometheus.refuse_with_file(flags)
    return saved_files.read(source, ALERTS, Alerts)[0]


def _query(ctx: typer.Context, flags: dict[str, Any]) -> Alerts:
    # Imported here: it takes 100 ms, which other commands need not pay.
    from qcfeed.metrics.alerts_answer import answer
    from qcfeed.metrics.prometheus import Prometheus

    settings = prometheus.resolve(ctx, flags).config
    return answer(Prometheus(settings, timeout=options(ctx).timeout))


def _advice(rows: Sequence[AlertRow]) -> Iterator[list[LabelledLine]]:
    """For each alert name, once: its summary, the first command to type, and its runbook."""
    for name, alert in {row.name: row for row in rows}.items():
        heading = f"{name}: {alert.summary}" if alert.summary else name
        first = " or ".join(target.addressable([alert.first])) if alert.first else ""
        advice = (("first", first), ("runbook", alert.runbook))
        yield [
            LabelledLine(formats.printable(heading), colour=_colour(alert)),
            *(
                LabelledLine(formats.printable(text), label, whole=True)
                for label, text in advice
                if text
            ),
        ]


app.command(
    epilog=examples(
        "qcfeed alerts --prometheus http://prometheus:9090",
        "qcfeed alerts -o json | jq -r '.alerts[].first'",
        "qcfeed alerts --state firing --watch 15    # with QCFEED_PROMETHEUS set",
        "qcfeed alerts --from night.tar.gz    # a bundle of `qcfeed report --bundle`",
    )
)(listed(prometheus.with_flags(alerts), "state", "label", states=("state", "severity")))
