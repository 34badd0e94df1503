"""The diagnosis as text. On a terminal of 80 x 24 the most important lines stay visible. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qcfeed.cli import target
from qcfeed.cli.ui.figures import told_evidence
from qcfeed.cli.ui.table import LabelledLine
from qcfeed.diagnose.verdict import HEALTHY, headline
from qcfeed.formats import age, printable
from qcfeed.model.diagnosis import Diagnosis, DiagnosisFinding

OTHERS_SHOWN = 4
"""Further findings to show, one line each; ``-o wide`` shows all of them in full."""
WARNING_RANK, BASIS_RANK, RUNBOOK_RANK = 5, 4, 3
"""Ranks of lines: the highest are left out first on a low screen (LabelledLine.rank)."""


def screen(diagnosis: Diagnosis, *, full: bool = False) -> list[LabelledLine]:
    """The first finding in full and the others on one line each; with ``full``, all in full."""
    return list(_clean(_screen(diagnosis, full)))


def _screen(diagnosis: Diagnosis, full: bool) -> Iterator[LabelledLine]:
    if not diagnosis.findings:
        colour = "green" if diagnosis.verdict == HEALTHY else "yellow"
        yield LabelledLine(diagnosis.headline, colour=colour)
        yield from (LabelledLine(each.result, each.subject) for each in diagnosis.checks)
    for number, finding in enumerate(diagnosis.findings):
        if number == 0 or full:
            yield from finding_lines(finding, full=full, taken_at=diagnosis.taken_at)
    others = [] if full else diagnosis.findings[1:]
    for place, finding in enumerate(others[:OTHERS_SHOWN]):
        yield LabelledLine(headline(finding), "also", "red", rank=place)
    if len(others) > OTHERS_SHOWN:
        yield LabelledLine(f"and {len(others) - OTHERS_SHOWN} more: use -o wide", "also")
    for finding in diagnosis.to_recheck[: None if full else OTHERS_SHOWN]:
        yield LabelledLine(headline(finding), "warning", "yellow", rank=0 if full else WARNING_RANK)
    yield from _notes(diagnosis, full)


def _notes(diagnosis: Diagnosis, full: bool) -> Iterator[LabelledLine]:
    """What belongs to no single finding."""
    if diagnosis.drill:
        text = f"{diagnosis.drill} is active: a fault was injected on purpose"
        yield LabelledLine(text, "DRILL", "yellow")
    if diagnosis.saved_evidence is not None:
        yield LabelledLine(
            told_evidence(diagnosis.saved_evidence), "saved", rank=0 if full else BASIS_RANK
        )
    if diagnosis.findings:
        yield LabelledLine(_basis(diagnosis), "checked", rank=BASIS_RANK)
    for skipped in diagnosis.skipped:
        yield LabelledLine(skipped, "skipped", "yellow", rank=0 if full else BASIS_RANK)


def finding_lines(
    finding: DiagnosisFinding, *, full: bool, taken_at: str = ""
) -> Iterator[LabelledLine]:
    """One finding; with ``full``, none of its evidence may be left out. Not escaped for a terminal.

    ``taken_at``: of the diagnosis; needed for one that was saved.
    """
    yield LabelledLine(headline(finding), colour="red")
    yield LabelledLine(finding.cause, "cause")
    if finding.location:
        yield LabelledLine(f"{finding.location}  {finding.source}".rstrip(), "line")
    if finding.began_s is not None:
        yield LabelledLine(target.moment(finding.began_s, taken_at), "began")
    yield from _list("evidence", finding.evidence, full=full)
    yield from _list("explains", [each.summary for each in finding.symptoms], full=full)
    if target.current().source is None:
        yield LabelledLine(finding.safe, "safe")
    for place, command in enumerate(target.addressable(finding.next)):
        yield LabelledLine(command, "" if place else "next", "bold", whole=True)
    if finding.runbook:
        yield LabelledLine(
            f"qcfeed runbook {finding.runbook}", "runbook", rank=0 if full else RUNBOOK_RANK
        )


def _list(label: str, texts: Sequence[str], *, full: bool) -> Iterator[LabelledLine]:
    """A labelled list: on a low screen its last lines are left out first, unless ``full``."""
    for place, text in enumerate(texts):
        yield LabelledLine(text, "" if place else label, rank=0 if full else place)


def _basis(diagnosis: Diagnosis) -> str:
    parts = ", ".join(each.subject for each in diagnosis.checks)
    return f"{parts}; two snapshots in {age(diagnosis.window_s)}"


def _clean(lines: Iterable[LabelledLine]) -> Iterator[LabelledLine]:
    """The lines with control characters escaped: some text comes from the watched program."""
    for line in lines:
        yield line._replace(text=printable(target.retold(line.text)))
