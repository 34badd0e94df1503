"""What a command with ``--cluster`` prints as JSON: the answers of all instances, and who did not answer."""

from __future__ import annotations

import msgspec


class MemberAnswer(msgspec.Struct, kw_only=True):
    """One instance's own answer, unchanged."""

    member: str
    answer: msgspec.Raw


class Unanswered(msgspec.Struct, kw_only=True):
    """An instance that is known and did not answer, and why."""

    member: str
    why: str


class ClusterFinding(msgspec.Struct, kw_only=True):
    """Something wrong in the cluster. ``member``: the instance that it is about; null if it is about several."""

    rule: str
    member: str | None
    what: str
    hint: str


class ClusterOrphan(msgspec.Struct, kw_only=True):
    """A difference between what feeders run, the leases, and what gateways want.

    ``epoch``: the life of the feed, subscription or lease that a reap ends; null if there is nothing to end.
    """

    kind: str
    member: str
    symbol: str
    epoch: str | None
    reason: str


class ClusterAnswers(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.cluster/1"):
    answers: list[MemberAnswer]
    unanswered: list[Unanswered]
    orphans: list[ClusterOrphan] = []
    findings: list[ClusterFinding] = []
