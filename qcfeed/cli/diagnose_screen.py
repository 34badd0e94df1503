"""The verdict on one screen: 80 columns by 24 lines hold what a person needs first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qcfeed.cli.layout import Line
from qcfeed.formats import age, printable
from qcfeed.verdict.answers import Diagnosis, Finding
from qcfeed.verdict.diagnosis import headline

OTHERS = 4
"""Further findings that get a line each; `-o wide` tells all in full."""
EVIDENCE = 5
"""Lines of evidence of the first finding."""
SYMPTOMS = 3


def screen(told: Diagnosis, *, full: bool = False) -> list[Line]:
    """The verdict, the first finding in full, the others in a line each (all in full, if ``full``)."""
    return list(_clean(_screen(told, full)))


def _screen(told: Diagnosis, full: bool) -> Iterator[Line]:
    if not told.findings:
        yield Line(told.headline, colour="green")
        yield from _looked_at(told)
    for number, finding in enumerate(told.findings):
        if number == 0 or full:
            yield from _in_full(finding, full=full)
    others = [] if full else told.findings[1:]
    for finding in others[:OTHERS]:
        yield Line(headline(finding), "also", "red")
    if len(others) > OTHERS:
        yield Line(f"and {len(others) - OTHERS} more: -o wide", "also")
    for finding in told.again[: None if full else OTHERS]:
        yield Line(headline(finding), "again?", "yellow")
    if told.drill:
        yield Line(f"{told.drill} is on: this service is broken on purpose", "DRILL", "yellow")
    if told.findings:
        yield Line(_basis(told), "looked")
    for what in told.untold:
        yield Line(what, "not told", "yellow")


def _in_full(finding: Finding, *, full: bool) -> Iterator[Line]:
    yield Line(headline(finding), colour="red")
    yield Line(finding.cause, "cause")
    if finding.location:
        yield Line(f"{finding.location}  {finding.source}".rstrip(), "line")
    if finding.began_s is not None:
        yield Line(f"{age(finding.began_s)} ago", "began")
    label = "evidence"
    for text in finding.evidence[: None if full else EVIDENCE]:
        yield Line(text, label)
        label = ""
    label = "explains"
    for symptom in finding.symptoms[: None if full else SYMPTOMS]:
        yield Line(symptom.summary, label)
        label = ""
    yield Line(finding.safe, "safe")
    label = "next"
    for command in finding.next:
        yield Line(command, label, "bold", whole=True)
        label = ""


def _looked_at(told: Diagnosis) -> Iterator[Line]:
    for each in told.looked_at:
        yield Line(each.seen, each.at)


def _basis(told: Diagnosis) -> str:
    what = ", ".join(each.at for each in told.looked_at)
    return f"at {what}; twice in {age(told.window_s)}"


def _clean(lines: Iterable[Line]) -> Iterator[Line]:
    """Texts of the watched program cannot steer the terminal."""
    for line in lines:
        yield line._replace(text=printable(line.text))
