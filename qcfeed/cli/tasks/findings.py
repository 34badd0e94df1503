"""``qcfeed tasks findings``: lists what the rules find in the tasks of the service."""

from __future__ import annotations

import msgspec
import typer

from qcfeed.cli import output_files, saved_files, target
from qcfeed.cli.context import Format, Output, examples, say
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.listing import selected
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_FINDINGS
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.errors import ExitStatus
from qcfeed.model.findings import Findings

EXAMPLES = examples(
    "qcfeed tasks findings",
    "qcfeed tasks findings -o json | jq '.findings[].summary'",
)


def _verdict(finding: Finding) -> str:
    if finding.recheck_s is None:
        return finding.certainty
    return f"suspected, check again in {formats.age(finding.recheck_s)}"


FINDING_TABLE: Table[Finding] = Table(
    (
        Column(
            "verdict",
            value=_verdict,
            colour=lambda f: "yellow" if f.certainty == Certainty.SUSPECTED else "red",
        ),
        Column("rule"),
        Column("location", least=20),
        Column("summary", least=24),
        Column("next", value=lambda f: "; ".join(target.addressable(f.next)), wide=True),
    ),
    identity=lambda finding: finding.rule,
)


def findings(
    ctx: typer.Context,
    source: saved_files.From = None,
    save: saved_files.Save = None,
    force: output_files.Force = False,  # noqa: ARG001 - ask_or_read looks it up
    output: Output = Format.TABLE,
) -> None:
    """List what is wrong with the tasks: each finding with evidence and the next command.

    The rules look for tasks that never end, growing locations, orphans, tasks that suppress cancellation, calls that
    block the event loop, tasks destroyed while pending, exceptions never retrieved, futures that
    cannot be completed, and tasks missing from the ledger. A finding that a healthy service would
    hardly show is "likely". One that it could show for a while is "suspected", and comes with the
    time of the next check.

    Exit status: 1 if something is proved or likely, 0 if not.
    """
    answer, raw = saved_files.ask_or_read(ctx, TASKS_FINDINGS, Findings, source=source, save=save)
    if output is Format.TABLE:
        render.emit_text(
            "\n\n".join(_paragraph(finding) for finding in selected(FINDING_TABLE, answer.findings))
        )
    else:
        if target.current() != target.NONE:
            for finding in answer.findings:
                finding.next = target.addressable(finding.next)
            raw = msgspec.json.encode(answer)
        render.show(output, FINDING_TABLE, answer.findings, raw=raw)
    _summarize(answer, output)
    if answer.proved or answer.likely:
        raise typer.Exit(ExitStatus.FINDINGS)


def _paragraph(finding: Finding) -> str:
    """One finding as lines of text: evidence does not fit into a table."""
    where = f"{finding.location}: " if finding.location else ""
    lines = [f"{_verdict(finding)}: {where}{finding.summary}"]
    lines += [f"  {target.retold(line)}" for line in finding.evidence]
    lines += [f"  next: {command}" for command in target.addressable(finding.next)]
    return "\n".join(formats.printable(line) for line in lines)


def _summarize(answer: Findings, output: Format) -> None:
    for line in answer.skipped:
        say(f"skipped: {formats.printable(line)}")
    for line in answer.explained:
        say(f"explained: {formats.printable(line)}")
    for line in answer.undecided:
        say(f"undecided: {formats.printable(line)}")
    if output in (Format.TABLE, Format.WIDE):
        snapshots = formats.plural(answer.snapshots, "snapshot")
        basis = f"{snapshots} in {formats.age(answer.watched_s)}"
        if not answer.findings:
            say(f"no findings in {basis}")
        else:
            counts = f"{answer.proved} proved, {answer.likely} likely, {answer.suspected} suspected"
            say(f"{counts}; from {basis}")
