"""``qcfeed --cluster orphans [--reap]``: orphans between the instances, and those within each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import typer

from qcfeed.cli.cluster import looks
from qcfeed.cli.cluster.looks import Silence
from qcfeed.cli.cluster.members import Answers, Members, act, members
from qcfeed.cli.context import Format, options, say
from qcfeed.cli.ui.formats import plural
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.control.routes import CLUSTER_REAP, CLUSTER_VIEW, FEEDS, ORPHANS, REAP
from qcfeed.diagnose import cluster_orphans
from qcfeed.diagnose.cluster_orphans import (
    FEED_KINDS,
    LEASE_WITHOUT_FEEDER,
    SUBSCRIPTION_WITHOUT_FEED,
    MemberFeeds,
)
from qcfeed.errors import ExitStatus
from qcfeed.model.cluster import ClusterReaped, ClusterReapRequest, ClusterView
from qcfeed.model.cluster_answers import ClusterOrphan
from qcfeed.model.feeds import Feeds
from qcfeed.model.orphans import Orphan, Orphans, Reaped, ReapRequest

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


class Look(NamedTuple):
    orphans: list[ClusterOrphan]
    feeds: Answers[Feeds]
    views: Answers[ClusterView]


def look(everyone: Members, silence: Silence) -> Look:
    """The differences between the views now. ``silence`` notes whose view is missing."""
    # Feeds first: a feed that starts in between has its lease and its subscribers already.
    feeds = Answers(everyone.ask(FEEDS, {}), Feeds)
    views = Answers(everyone.ask(CLUSTER_VIEW, {}), ClusterView)
    silence.note(feeds, views)
    by_member = {each.member: each.answer for each in views.good}
    for each in feeds.good:
        if each.member not in by_member:
            silence.add(each.member, "it does not tell its side of the cluster")
    seen = [
        MemberFeeds(each.member, by_member[each.member], each.answer.feeds)
        for each in feeds.good
        if each.member in by_member
    ]
    return Look(cluster_orphans.orphans(seen, len(silence)), feeds, views)


def orphans(ctx: typer.Context, output: Format, *, reap: bool) -> None:
    """Orphans between the instances, and those within each. ``reap`` ends exactly these."""
    everyone, silence = members(ctx), Silence()
    first, second = looks.two(lambda: look(everyone, silence))
    found = cluster_orphans.agreed(first.orphans, second.orphans)
    within = Answers(everyone.ask(ORPHANS, {"limit": 1000}), Orphans)
    silence.note(within)
    incomplete = silence.tell(anybody_answered=bool(second.feeds.good or within.good))
    rows = [*found, *_rows(within)]
    if rows or output not in (Format.TABLE, Format.WIDE):
        raw = within.json(orphans=found, unanswered=silence.rows)
        show(output, ORPHAN_TABLE, rows, raw=raw)
    count = len(found) + sum(each.answer.total for each in within.good)
    if not count:
        say(_none(incomplete))
    elif reap:
        incomplete |= not _reap(ctx, everyone, found, within)
    else:
        say(_total(count, found))
    if incomplete or (count and not reap):
        raise typer.Exit(ExitStatus.FINDINGS)


def _none(incomplete: bool) -> str:
    if not incomplete:
        return "no orphans: feeds, leases, interest and subscribers of all instances agree"
    return "INCOMPLETE: no orphans that show without the instances that did not answer"


def _total(count: int, found: Iterable[ClusterOrphan]) -> str:
    kept = sum(each.epoch is None for each in found)
    if kept == count:
        return f"{plural(count, 'orphan')}, nothing to end: `qcfeed --cluster diagnose` tells why"
    rest = f"; {plural(kept, 'other')} only `qcfeed --cluster diagnose` explains" if kept else ""
    return f"{plural(count, 'orphan')}: `qcfeed --cluster orphans --reap` ends them{rest}"


def _rows(within: Answers[Orphans]) -> list[ClusterOrphan]:
    """Orphans within single instances, as rows of the same table."""
    return [_row(each.member, orphan) for each in within.good for orphan in each.answer.orphans]


def _row(member: str, orphan: Orphan) -> ClusterOrphan:
    return ClusterOrphan(
        kind="task" if orphan.serial is not None else "subscription",
        member=member,
        symbol=orphan.symbol or "",
        epoch=None,
        reason=orphan.reason,
    )


def _reap(
    ctx: typer.Context, everyone: Members, found: Sequence[ClusterOrphan], within: Answers[Orphans]
) -> bool:
    """End what can be ended; whether all of it has ended."""
    timeout, ok = options(ctx).timeout, True
    for member in dict.fromkeys(each.member for each in found if each.epoch is not None):
        of_member = [each for each in found if each.member == member]
        done = act(everyone, member, CLUSTER_REAP, _request(of_member, timeout), ClusterReaped)
        ok &= done is not None and _told(member, done)
    for each in within.good:
        if each.answer.total:
            reaped = act(everyone, each.member, REAP, ReapRequest(timeout_s=timeout), Reaped)
            ok &= reaped is not None and not reaped.survivors
            if reaped is not None:
                say(f"{each.member}: {plural(reaped.cancelled, 'task')} cancelled,"
                    f" {plural(reaped.subscriptions, 'subscription')} removed")  # fmt: skip
    if kept := [each for each in found if each.epoch is None]:
        say(f"{plural(len(kept), 'difference')} with nothing to end: `qcfeed --cluster diagnose`")
        ok = False
    return ok


def _request(found: Sequence[ClusterOrphan], timeout: float) -> ClusterReapRequest:
    """Everything of one member, each with the life that was judged: a newer one is not touched."""
    lives = [each for each in found if each.epoch is not None]
    leases = [each.epoch for each in lives if each.kind == LEASE_WITHOUT_FEEDER]
    subscriptions = [each for each in lives if each.kind == SUBSCRIPTION_WITHOUT_FEED]
    feeds = [each for each in lives if each.kind in FEED_KINDS]
    return ClusterReapRequest(
        feeds={each.symbol: each.epoch or "" for each in feeds},
        subscriptions={each.epoch or "": each.symbol for each in subscriptions},
        lease_revision=int(leases[0] or 0) if leases else None,
        timeout_s=timeout,
    )


def _told(member: str, reaped: Any) -> bool:
    """Say what has ended and what was left alone; whether nothing was."""
    if reaped.ended_names:
        say(f"{member}: ended {', '.join(reaped.ended_names)}")
    for each in reaped.refusals:
        say(f"{member}: left alone: {each.what}: {each.why}")
    return not reaped.refusals
