"""``qcfeed tasks findings``: what the rules see in the service's tasks."""

from __future__ import annotations

import typer

from qcfeed.cli import saved_files
from qcfeed.cli.context import Format, Output, examples, say
from qcfeed.cli.ui import formats, render
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import TASKS_FINDINGS
from qcfeed.errors import ExitStatus
from qcfeed.model.answers import Finding, Findings

EXAMPLES = examples(
    "qcfeed tasks findings",
    "qcfeed tasks findings -o json | jq '.findings[].summary'",
)

_FOUND = "found"


def _verdict(finding: Finding) -> str:
    if finding.recheck_s is None:
        return finding.verdict
    return f"again in {formats.age(finding.recheck_s)}"


FINDING_TABLE: Table[Finding] = Table(
    (
        Column(
            "verdict", value=_verdict, colour=lambda f: "red" if f.verdict == _FOUND else "yellow"
        ),
        Column("rule"),
        Column("location", least=20),
        Column("summary", least=24),
        Column("next", wide=True),
    ),
    identity=lambda finding: finding.rule,
)


def findings(
    ctx: typer.Context,
    source: saved_files.From = None,
    save: saved_files.Save = None,
    output: Output = Format.TABLE,
) -> None:
    """What is wrong with the tasks: each finding with its evidence and the next command.

    Growing locations, orphans, tasks that swallow their cancellation, what blocked the loop, tasks
    destroyed while pending, exceptions that nobody took, futures that nobody can complete, tasks
    that cannot be seen. What
    a healthy service might show as well is told as "again": look again later. Exit status: 1 when
    something is found, else 0.
    """
    answer, raw = saved_files.ask_or_read(ctx, TASKS_FINDINGS, Findings, source=source, target=save)
    if output is Format.TABLE:
        render.emit("\n\n".join(_told(finding) for finding in answer.findings))
    else:
        render.show(output, FINDING_TABLE, answer.findings, raw=raw)
    _say_more(answer, output)
    if answer.found:
        raise typer.Exit(ExitStatus.FINDINGS)


def _told(finding: Finding) -> str:
    """One finding as a paragraph: evidence does not fit into cells."""
    where = f"{finding.location}: " if finding.location else ""
    lines = [f"{_verdict(finding)}: {where}{finding.summary}"]
    lines += [f"  {line}" for line in finding.evidence]
    lines.append(f"  next: {finding.next}")
    return "\n".join(formats.printable(line) for line in lines)


def _say_more(answer: Findings, output: Format) -> None:
    for line in answer.untold:
        say(f"not told: {formats.printable(line)}")
    if output in (Format.TABLE, Format.WIDE):
        snapshots = "1 snapshot" if answer.snapshots == 1 else f"{answer.snapshots:,} snapshots"
        basis = f"{snapshots} in {formats.age(answer.watched_s)}"
        if not answer.findings:
            say(f"no findings in {basis}")
        else:
            say(f"{answer.found} found, {answer.look_again} to look at again; from {basis}")
