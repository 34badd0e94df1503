"""``qcfeed audit``: who did what to the service, from its audit log."""

from __future__ import annotations

from typing import Any, NamedTuple

import typer

from qcfeed.cli.context import Format, Output, examples, new_app, say
from qcfeed.cli.saved_files import From, ask_or_read
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import AUDIT
from qcfeed.diagnose.report.sections import detail, who
from qcfeed.model.report import AuditEntries

ENTRIES = 10_000
_FINE = ("done", "intent")

app = new_app()


class AuditRow(NamedTuple):
    """One entry of the log. ``state``: its outcome, or ``intent`` before anything is done."""

    at: str
    action: str
    state: str
    who: str
    detail: str
    id: str


TABLE: Table[AuditRow] = Table(
    (
        Column("at", header="TIME (UTC)", show=formats.clock),
        Column("action"),
        Column("state", colour=lambda row: None if row.state in _FINE else "red"),
        Column("who"),
        Column("detail", least=30),
        Column("id", wide=True),
    ),
    identity=lambda row: row.id,
)


def audit(ctx: typer.Context, source: From = None, output: Output = Format.TABLE) -> None:
    """Show who did what to the service: its audit log, the latest entry last.

    Each action has two entries: its intent before anything is done, and its outcome.

    Exit status: 0.
    """
    answer, raw = ask_or_read(ctx, AUDIT, AuditEntries, source=source, limit=ENTRIES)
    rows = list(map(_row, answer.entries))
    show(output, TABLE, rows, raw=raw)
    if not rows and output in (Format.TABLE, Format.WIDE):
        say("no action is recorded")
    if answer.dropped_bytes:
        say(f"{formats.size(answer.dropped_bytes)} of earlier entries are in {answer.file}")


def _row(entry: dict[str, Any]) -> AuditRow:
    state = str(entry.get("outcome", entry.get("event", "")))
    at, action, number = (str(entry.get(key, "")) for key in ("at", "action", "id"))
    return AuditRow(at, action, state, who(entry.get("who")), detail(entry), number)


app.command(
    epilog=examples(
        "qcfeed audit",
        "qcfeed audit --state failed -o wide",
        "qcfeed audit --watch 10",
    )
)(listed(audit, "state", latest=True))
