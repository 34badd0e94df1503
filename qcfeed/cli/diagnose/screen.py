"""The verdict on one screen: 80 columns by 24 lines hold what a person needs first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qcfeed.cli.ui.table import Line
from qcfeed.diagnose.verdict import headline
from qcfeed.formats import age, printable
from qcfeed.model.diagnosis import Diagnosis, DiagnosisFinding

OTHERS = 4
"""Further findings that get a line each; `-o wide` tells all in full."""
AGAIN, BASIS, PAGE = 5, 4, 3
"""How soon these go where the screen has no room; a finding's evidence goes by its place."""


def screen(told: Diagnosis, *, full: bool = False) -> list[Line]:
    """The verdict, the first finding in full, the others in a line each (all in full, if ``full``)."""
    return list(_clean(_screen(told, full)))


def _screen(told: Diagnosis, full: bool) -> Iterator[Line]:
    if not told.findings:
        yield Line(told.headline, colour="green")
        yield from (Line(each.result, each.subject) for each in told.checks)
    for number, finding in enumerate(told.findings):
        if number == 0 or full:
            yield from in_full(finding, full=full)
    others = [] if full else told.findings[1:]
    for place, finding in enumerate(others[:OTHERS]):
        yield Line(headline(finding), "also", "red", rank=place)
    if len(others) > OTHERS:
        yield Line(f"and {len(others) - OTHERS} more: -o wide", "also")
    for finding in told.to_recheck[: None if full else OTHERS]:
        yield Line(headline(finding), "again?", "yellow", rank=0 if full else AGAIN)
    if told.drill:
        yield Line(f"{told.drill} is on: this service is broken on purpose", "DRILL", "yellow")
    if told.findings:
        yield Line(_basis(told), "looked", rank=BASIS)
    for what in told.skipped:
        yield Line(what, "not told", "yellow", rank=0 if full else BASIS)


def in_full(finding: DiagnosisFinding, *, full: bool) -> Iterator[Line]:
    """One finding; ``full``: with all of its evidence. As it came: not yet printable."""
    yield Line(headline(finding), colour="red")
    yield Line(finding.cause, "cause")
    if finding.location:
        yield Line(f"{finding.location}  {finding.source}".rstrip(), "line")
    if finding.began_s is not None:
        yield Line(f"{age(finding.began_s)} ago", "began")
    yield from _list("evidence", finding.evidence, full=full)
    yield from _list("explains", [each.summary for each in finding.symptoms], full=full)
    yield Line(finding.safe, "safe")
    for place, command in enumerate(finding.next):
        yield Line(command, "" if place else "next", "bold", whole=True)
    if finding.runbook:
        yield Line(f"qcfeed runbook {finding.runbook}", "page", rank=0 if full else PAGE)


def _list(label: str, texts: Sequence[str], *, full: bool) -> Iterator[Line]:
    """The first stays, the others go where there is no room; all of them, if ``full``."""
    for place, text in enumerate(texts):
        yield Line(text, "" if place else label, rank=0 if full else place)


def _basis(told: Diagnosis) -> str:
    what = ", ".join(each.subject for each in told.checks)
    return f"at {what}; twice in {age(told.window_s)}"


def _clean(lines: Iterable[Line]) -> Iterator[Line]:
    """Texts of the watched program cannot steer the terminal."""
    for line in lines:
        yield line._replace(text=printable(line.text))
