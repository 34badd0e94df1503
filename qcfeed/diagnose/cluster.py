"""Finds problems between the instances of a cluster, from two looks at all of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qcfeed.diagnose.workers import restart_reason
from qcfeed.formats import age
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.cluster_answers import ClusterFinding
from qcfeed.model.status import ServiceStatus

GATEWAY, FEEDER = "gateway", "feeder"


class MemberView(NamedTuple):
    """One instance and its status."""

    name: str
    status: ServiceStatus

    @property
    def part(self) -> ClusterStatus | None:
        return self.status.cluster

    @property
    def owns(self) -> bool:
        """Whether it is a feeder that holds its share's lease."""
        return (
            self.part is not None and self.part.role == FEEDER and self.part.lease_epoch is not None
        )


def findings(before: Sequence[MemberView], now: Sequence[MemberView]) -> list[ClusterFinding]:
    """The problems that both looks show, the most serious first. Counters are judged by their growth.

    A problem in one look only may be a change of the owner that was just under way.
    """
    earlier = {member.name: member for member in before}
    two = [*_two_owners(before, now)] or [*_outranked(before, now)]
    found = [*two, *_no_owner(before, now)]
    for member in now:
        found += _restarted(member)
        if member.part is not None:
            was = earlier.get(member.name)
            found += _of_member(member.name, member.part, None if was is None else was.part)
    return found


def _two_owners(
    before: Sequence[MemberView], now: Sequence[MemberView]
) -> Iterator[ClusterFinding]:
    earlier = _owners(before)
    for (servers, share), owners in _owners(now).items():
        if len(owners) > 1 and len(earlier[servers, share]) > 1:
            names = ", ".join(f"{each.name} (epoch {_epoch(each)})" for each in owners)
            newest = max(owners, key=_epoch)
            others = [each.name for each in owners if each is not newest]
            yield ClusterFinding(
                rule="two owners", member=None,
                what=f"{len(owners)} feeders believe they own share {share}: {names};"
                " gateways accept only the highest epoch",
                hint=f"stop {', '.join(others)}; do the NATS servers form one cluster, and do all clocks run?",
            )  # fmt: skip


def _outranked(before: Sequence[MemberView], now: Sequence[MemberView]) -> Iterator[ClusterFinding]:
    """Owners above which gateways have seen another one, which has not answered us."""
    earlier = {each.name for each in before if each.part is not None and each.part.higher_epoch}
    for member in now:
        if member.part is not None and member.part.higher_epoch and member.name in earlier:
            yield ClusterFinding(
                rule="two owners", member=member.name,
                what=f"gateways follow another owner of share {member.part.symbol_share}, with epoch"
                f" {member.part.higher_epoch}; this feeder's epoch, {member.part.lease_epoch}, is lower",
                hint="stop it: gateways reject its quotes; does its clock stand still?",
            )  # fmt: skip


def _owners(
    members: Sequence[MemberView],
) -> defaultdict[tuple[frozenset[str], str], list[MemberView]]:
    """The owners of each share on the same NATS servers, in whatever order these are listed."""
    found: defaultdict[tuple[frozenset[str], str], list[MemberView]] = defaultdict(list)
    for member in members:
        if member.owns and member.part is not None:
            servers = frozenset(member.part.servers.partition("://")[2].split(","))
            found[servers, member.part.symbol_share or "1/1"].append(member)
    return found


def _no_owner(before: Sequence[MemberView], now: Sequence[MemberView]) -> Iterator[ClusterFinding]:
    feeders, waiting = _of_role(now, FEEDER), _of_role(now, GATEWAY)
    if waiting and not any(member.owns for member in (*before, *now)):
        wanted = sum(member.status.subscriptions for member in waiting)
        problems = [
            member.part.problem for member in feeders if member.part and member.part.problem
        ]
        why = problems[0] if problems else "none runs" if not feeders else "none has the lease yet"
        yield ClusterFinding(
            rule="no owner", member=None,
            what=f"no feeder publishes, while gateways have {wanted:,} subscriptions: {why}",
            hint="`qcfeed --cluster status` lists the feeders; `qcfeed feeder` starts one",
        )  # fmt: skip
        return
    earlier = {member.name: member.part for member in before}
    for member in waiting:
        was = earlier.get(member.name)
        if member.part and was and min(member.part.shares_without_owner, was.shares_without_owner):
            yield ClusterFinding(
                rule="no owner", member=member.name,
                what=f"it hears no owner of {member.part.shares_without_owner:,} shares:"
                f" {member.part.problem or 'none announces itself'}",
                hint="`qcfeed --cluster status` lists the feeders; `qcfeed feeder --share N/M` starts one",
            )  # fmt: skip


def _restarted(member: MemberView) -> Iterator[ClusterFinding]:
    why = restart_reason(member.status)
    if why is not None:
        yield ClusterFinding(
            rule="restarted worker", member=member.name,
            what=f"it was started again {age(member.status.uptime_s)} ago, because {why}",
            hint="the log of `qcfeed serve` has its last words; `qcfeed workers` counts the restarts",
        )  # fmt: skip


def _of_member(
    name: str, part: ClusterStatus, was: ClusterStatus | None
) -> Iterator[ClusterFinding]:
    ask = f"`qcfeed --instance {name.partition('@')[0]} status`"
    if not part.connected and part.needed:
        yield ClusterFinding(
            rule="broker away", member=name,
            what=f"it has no connection to {part.servers}: {part.problem or 'it tries again'}",
            hint="is the NATS server up? its log says why it refuses",
        )  # fmt: skip
    if was is None:
        return
    lost = part.slow_drops - was.slow_drops, part.quotes_skipped - was.quotes_skipped
    if any(each > 0 for each in lost):
        yield ClusterFinding(
            rule="gateway lags", member=name,
            what=f"it cannot keep up: {lost[0]:,} messages dropped and {lost[1]:,} quotes conflated"
            " between two looks",
            hint=f"{ask}: is its core full? more gateways share the load",
        )  # fmt: skip
    if (rejected := part.epochs_rejected - was.epochs_rejected) > 0:
        yield ClusterFinding(
            rule="former owner publishes", member=name,
            what=f"it refused {rejected:,} quotes of an epoch that is over, between two looks",
            hint="`qcfeed --cluster status` shows the feeders; restart the one that is not the owner",
        )  # fmt: skip
    if (missed := part.renewals_missed - was.renewals_missed) > 0:
        yield ClusterFinding(
            rule="lease renewals missed", member=name,
            what=f"{missed:,} renewals of its lease failed: {part.problem or 'no answer in time'}",
            hint="is JetStream's disk full, or the NATS server slow?",
        )  # fmt: skip
    if min(part.subscriptions_unread, was.subscriptions_unread) > 0:
        yield ClusterFinding(
            rule="interest without subscribers", member=name,
            what=f"{part.subscriptions_unread:,} of its subscriptions on NATS outlived their feed; the"
            " owner publishes for nobody",
            hint="`qcfeed --cluster orphans --reap` ends them",
        )  # fmt: skip
    if min(part.interest_without_feed, was.interest_without_feed) > 0:
        yield ClusterFinding(
            rule="interest without feed", member=name,
            what=f"{part.interest_without_feed:,} symbols are wanted and have no open feed",
            hint=f"`qcfeed --instance {name.partition('@')[0]} feeds -o wide` shows why",
        )  # fmt: skip


def _epoch(member: MemberView) -> int:
    return (member.part.lease_epoch or 0) if member.part is not None else 0


def _of_role(members: Sequence[MemberView], role: str) -> list[MemberView]:
    return [member for member in members if member.part is not None and member.part.role == role]
