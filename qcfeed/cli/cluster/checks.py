"""What is wrong between the instances: ``--cluster orphans [--reap]`` and ``--cluster diagnose``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import typer

from qcfeed.cli.cluster.members import Answers, Members, members
from qcfeed.cli.cluster.views import NO_ANSWER
from qcfeed.cli.context import Format, options, say
from qcfeed.cli.ui.formats import plural
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import FEEDS, FEEDS_CANCEL, ORPHANS, REAP, STATUS
from qcfeed.diagnose import cluster
from qcfeed.diagnose.cluster import MemberView
from qcfeed.errors import ExitStatus
from qcfeed.model.cluster_answers import ClusterFinding, ClusterOrphan
from qcfeed.model.feeds import CancelFeedsRequest, CancelledFeeds, Feeds
from qcfeed.model.orphans import Orphans, Reaped, ReapRequest
from qcfeed.model.status import Status

BETWEEN_LOOKS = 3.0
"""Seconds between two looks: longer than a gateway and a feeder need to agree."""

ORPHAN_TABLE: Table[ClusterOrphan] = Table(
    (
        Column("kind", least=12),
        Column("member", header="INSTANCE"),
        Column("symbol"),
        Column("epoch", rank=1),
        Column("reason", header="EVIDENCE", least=24),
    ),
    identity=lambda orphan: f"{orphan.member} {orphan.symbol}",
)
FINDING_TABLE: Table[ClusterFinding] = Table(
    (
        Column("rule", least=10),
        Column("member", header="INSTANCE"),
        Column("what", least=24),
        Column("hint", header="NEXT", least=20),
    ),
    identity=lambda finding: finding.rule,
)


class _Look(NamedTuple):
    views: list[MemberView]
    statuses: Answers[Status]
    silent: int


def _look(all_members: Members) -> _Look:
    # Feeds first: a feed that starts in between has its lease and its subscribers already.
    feeds = Answers(all_members.ask(FEEDS, {}), Feeds)
    statuses = Answers(all_members.ask(STATUS, {}), Status)
    by_member = {each.member: each.answer.feeds for each in feeds.good}
    views = [
        MemberView(each.member, each.answer, by_member[each.member])
        for each in statuses.good
        if each.member in by_member
    ]
    silent = {e.member for e in (*feeds.unanswered, *statuses.unanswered)}
    return _Look(views, statuses, len(silent))


def _two_looks(all_members: Members) -> tuple[_Look, _Look]:
    first = _look(all_members)
    time.sleep(BETWEEN_LOOKS)
    return first, _look(all_members)


def orphans(ctx: typer.Context, output: Format, *, reap: bool) -> None:
    """Orphans between the instances, and those within each. ``reap`` cancels exactly these."""
    everyone = members(ctx)
    first, second = _two_looks(everyone)
    found = cluster.agreed(
        cluster.orphans(first.views, first.silent), cluster.orphans(second.views, second.silent)
    )
    within = Answers(everyone.ask(ORPHANS, {"limit": 1000}), Orphans)
    rows = [*found, *_rows(within)]
    if rows or output not in (Format.TABLE, Format.WIDE):
        show(output, ORPHAN_TABLE, rows, raw=within.json(orphans=found))
    silent = second.statuses.tell_unanswered()
    count = len(found) + sum(each.answer.total for each in within.good)
    if not count:
        say("no orphans" + (" among the instances that answered" if silent else ""))
    elif reap:
        silent |= not _reap(ctx, everyone, found, within)
    else:
        say(
            f"{plural(count, 'orphan')}: `qcfeed --cluster orphans --reap` cancels those that can be"
        )
    if silent or (count and not reap):
        raise typer.Exit(ExitStatus.FINDINGS)


def _rows(within: Answers[Orphans]) -> list[ClusterOrphan]:
    """Orphans within single instances, as rows of the same table."""
    return [
        ClusterOrphan(
            kind="task" if orphan.serial is not None else "subscription",
            member=each.member,
            symbol=orphan.symbol or "",
            epoch=None,
            reason=orphan.reason,
        )
        for each in within.good
        for orphan in each.answer.orphans
    ]


def _reap(
    ctx: typer.Context, everyone: Members, found: Sequence[ClusterOrphan], within: Answers[Orphans]
) -> bool:
    """Cancel what is cancellable; whether all of it has ended."""
    timeout, ok = options(ctx).timeout, True
    for member in dict.fromkeys(each.member for each in found if each.epoch is not None):
        epochs = {e.symbol: e.epoch for e in found if e.member == member and e.epoch is not None}
        # A feed of a newer life is not touched: the request carries the life that was judged.
        request = CancelFeedsRequest(
            symbols=list(epochs), force=True, timeout_s=timeout, epochs=epochs
        )
        done = _act(everyone, member, FEEDS_CANCEL, request, CancelledFeeds)
        ended = 0 if done is None else sum(feed.joined for feed in done.feeds)
        ok &= done is not None and ended == len(done.feeds)
        say(f"{member}: {plural(ended, 'feed')} cancelled")
    for each in within.good:
        if each.answer.total:
            reaped = _act(everyone, each.member, REAP, ReapRequest(timeout_s=timeout), Reaped)
            ok &= reaped is not None and not reaped.survivors
            if reaped is not None:
                say(f"{each.member}: {plural(reaped.cancelled, 'task')} cancelled,"
                    f" {plural(reaped.subscriptions, 'subscription')} removed")  # fmt: skip
    if kept := [each for each in found if each.epoch is None]:
        say(f"{plural(len(kept), 'difference')} cannot be cancelled: `qcfeed --cluster diagnose`")
        ok = False
    return ok


def _act(
    everyone: Members, member: str, path: str, body: msgspec.Struct, kind: type[Any]
) -> Any | None:
    answers: Answers[Any] = Answers([everyone.act(member, path, body)], kind)
    for each in answers.unanswered:
        say(f"{each.member}: {each.why}")
    return answers.good[0].answer if answers.good else None


def diagnose(ctx: typer.Context, output: Format) -> None:
    """What two looks at all instances show."""
    first, second = _two_looks(members(ctx))
    silent = [
        ClusterFinding(
            rule=NO_ANSWER, member=each.member, what=each.why,
            hint="does its process run, and is it stopped or stuck? `qcfeed stacks` there",
        )
        for each in second.statuses.unanswered
    ]  # fmt: skip
    found = [*cluster.findings(first.views, second.views), *silent]
    if found or output not in (Format.TABLE, Format.WIDE):
        show(output, FINDING_TABLE, found, raw=second.statuses.json(findings=found))
    if not second.statuses.good:
        second.statuses.tell_unanswered()
    if found:
        raise typer.Exit(ExitStatus.FINDINGS)
    say(
        f"nothing is wrong between {plural(len(second.views), 'instance')};"
        " `qcfeed --instance NAME diagnose` looks into one"
    )
