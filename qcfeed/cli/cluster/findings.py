"""``qcfeed --cluster diagnose``: what is wrong between the instances, judged by two looks at all of them."""

from __future__ import annotations

import typer

from qcfeed.cli import target
from qcfeed.cli.cluster import looks
from qcfeed.cli.cluster.looks import Silence
from qcfeed.cli.cluster.members import Answers, members
from qcfeed.cli.cluster.views import NO_ANSWER
from qcfeed.cli.context import Format, say
from qcfeed.cli.ui.formats import plural
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import STATUS
from qcfeed.diagnose import cluster
from qcfeed.diagnose.cluster import MemberView
from qcfeed.errors import ExitStatus
from qcfeed.model.cluster_answers import ClusterFinding
from qcfeed.model.status import ServiceStatus

FINDING_TABLE: Table[ClusterFinding] = Table(
    (
        Column("rule", least=10),
        Column("member", header="INSTANCE"),
        Column("what", least=24),
        Column("hint", header="NEXT", show=lambda hint: target.in_text(hint) or hint, least=20),
    ),
    identity=lambda finding: finding.rule,
)


def diagnose(ctx: typer.Context, output: Format) -> None:
    """What two looks at all instances show."""
    everyone, silence = members(ctx), Silence()

    def look() -> Answers[ServiceStatus]:
        answers = Answers(everyone.ask(STATUS, {}), ServiceStatus)
        silence.note(answers)
        return answers

    first, second = looks.two(look)
    found = [*cluster.findings(_views(first), _views(second)), *_silent(silence)]
    if found or output not in (Format.TABLE, Format.WIDE):
        raw = second.json(findings=found, unanswered=silence.rows)
        show(output, FINDING_TABLE, found, raw=raw)
    if not second.good:
        silence.tell(anybody_answered=False)
    if found:
        raise typer.Exit(ExitStatus.FINDINGS)
    say(
        f"HEALTHY  nothing is wrong between {plural(len(second.good), 'instance')};"
        " `qcfeed --instance NAME diagnose` looks into one"
    )


def _views(answers: Answers[ServiceStatus]) -> list[MemberView]:
    return [MemberView(each.member, each.answer) for each in answers.good]


def _silent(silence: Silence) -> list[ClusterFinding]:
    """What cannot be seen: no rule says anything about an instance that does not answer."""
    return [
        ClusterFinding(
            rule=NO_ANSWER, member=each.member, what=f"it cannot be seen: {each.why}",
            hint="does its process run, and is it stopped or stuck? `qcfeed stacks` there",
        )
        for each in silence.rows
    ]  # fmt: skip
