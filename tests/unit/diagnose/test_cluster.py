from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qcfeed.diagnose import cluster
from qcfeed.diagnose.cluster import MemberView
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.status import Bands, Listening, Memory, ServiceStatus
from qcfeed.model.tasks import TaskTotals


def status(part: ClusterStatus | None, **fields: Any) -> ServiceStatus:
    given = ServiceStatus(
        version="1", state="serving", drill=None, started_at="", uptime_s=1.0, loop_lag_ms=0.0,
        memory=Memory(resident_bytes=1, limit_bytes=2, limit_source="machine"),
        listening=Listening(websocket="", admin="", control=""), upstream="", upstream_connected=True,
        upstream_reconnects=0, upstream_gaps=0, connections=0, connections_limit=1, feed_count=0,
        feeds_by_state={}, subscriptions=0, subscribers_per_symbol=0.0, orphaned_tasks=0,
        orphaned_subscriptions=0, staleness=Bands(), totals=TaskTotals(), cluster=part,
    )  # fmt: skip
    return msgspec.structs.replace(given, **fields)


def part(role: str, **fields: Any) -> ClusterStatus:
    return ClusterStatus(role=role, name="n", servers="nats://h:4222", connected=True, **fields)


def gateway(name: str, *, subscriptions: int = 1, **fields: Any) -> MemberView:
    return MemberView(name, status(part("gateway", **fields), subscriptions=subscriptions))


def feeder(name: str, *, epoch: int | None = 7, **fields: Any) -> MemberView:
    return MemberView(name, status(part("feeder", lease_epoch=epoch, symbol_share="1/1", **fields)))


EMBEDDED = MemberView("8006", status(None))


def rules(before: list[MemberView], now: list[MemberView]) -> list[tuple[str, str | None]]:
    return [(each.rule, each.member) for each in cluster.findings(before, now)]


def test_a_healthy_cluster_has_no_findings() -> None:
    members = [
        gateway("g"),
        feeder("f"),
        feeder("s", epoch=None),
        EMBEDDED,
    ]
    assert rules(members, members) == []


def test_two_owners_of_one_share_are_told_with_the_one_to_restart() -> None:
    members = [feeder("new", epoch=9), feeder("old", epoch=7)]
    assert cluster.findings(members[:1], members) == [], "the owner was just changing"
    [found] = cluster.findings(members, members)
    assert found.rule == "two owners"
    assert "new (epoch 9), old (epoch 7)" in found.what
    assert found.hint.startswith("stop old;")


def test_owners_of_different_shares_are_no_conflict() -> None:
    other = feeder("b")
    assert other.status.cluster is not None
    other.status.cluster.symbol_share = "2/2"
    assert rules([feeder("a"), other], [feeder("a"), other]) == []


def test_two_clusters_on_one_machine_have_an_owner_each() -> None:
    other = feeder("b")
    assert other.status.cluster is not None
    other.status.cluster.servers = "nats://other:4222"
    assert rules([feeder("a"), other], [feeder("a"), other]) == []


def test_a_share_that_a_gateway_hears_no_owner_of_is_told_if_it_lasts() -> None:
    calm, waiting = gateway("g"), gateway("g", shares_without_owner=1)
    assert rules([calm, feeder("f")], [waiting, feeder("f")]) == []
    assert rules([waiting, feeder("f")], [waiting, feeder("f")]) == [("no owner", "g")]


@pytest.mark.parametrize(
    ("feeders", "why"),
    [
        ([], "none runs"),
        ([feeder("f", epoch=None)], "none has the lease yet"),
        ([feeder("f", epoch=None, problem="no JetStream")], "no JetStream"),
    ],
)
def test_gateways_without_an_owner_are_told_why(feeders: list[MemberView], why: str) -> None:
    [found] = cluster.findings([], [gateway("g"), *feeders])
    assert found.rule == "no owner"
    assert found.what.endswith(f"1 subscriptions: {why}")


def test_a_broker_that_is_away_is_told_only_of_those_that_need_it() -> None:
    away, idle = gateway("g", problem="refused"), gateway("idle", needed=False)
    for each in (away, idle):
        assert each.status.cluster is not None
        each.status.cluster.connected = False
    found = [e for e in cluster.findings([], [away, idle, feeder("f")]) if e.rule == "broker away"]
    assert [(each.member, each.what) for each in found] == [
        ("g", "it has no connection to nats://h:4222: refused")
    ]


@pytest.mark.parametrize(
    ("counter", "rule"),
    [
        ("slow_drops", "gateway lags"),
        ("quotes_skipped", "gateway lags"),
        ("epochs_rejected", "former owner publishes"),
        ("renewals_missed", "lease renewals missed"),
    ],
)
def test_a_counter_that_grows_between_two_looks_is_a_finding(counter: str, rule: str) -> None:
    quiet = [gateway("g", **{counter: 5}), feeder("f")]
    assert rules(quiet, quiet) == [], "what was before is over"
    assert rules(quiet, [gateway("g", **{counter: 6}), feeder("f")]) == [(rule, "g")]
    assert rules([], [gateway("g", **{counter: 6}), feeder("f")]) == [], "seen once only"


def test_interest_without_feed_is_a_finding_if_it_lasts() -> None:
    calm, waiting = feeder("f"), feeder("f", interest_without_feed=2)
    assert rules([calm], [waiting]) == []
    assert rules([waiting], [waiting]) == [("interest without feed", "f")]


def test_leaked_interest_is_a_finding_if_it_lasts() -> None:
    calm, leaking = gateway("g", subscriptions_unread=0), gateway("g", subscriptions_unread=2)
    assert rules([calm, feeder("f")], [leaking, feeder("f")]) == []
    assert rules([leaking, feeder("f")], [leaking, feeder("f")]) == [
        ("interest without subscribers", "g")
    ]


def test_an_owner_that_gateways_do_not_follow_is_told_although_the_other_one_does_not_answer() -> (
    None
):
    alone, outranked = feeder("f", epoch=7), feeder("f", epoch=7, higher_epoch=9)
    assert rules([alone], [outranked]) == [], "the owner was just changing"
    [found] = cluster.findings([outranked], [outranked])
    assert (found.rule, found.member) == ("two owners", "f")
    assert "with epoch 9; this feeder's epoch, 7, is lower" in found.what
    both = [outranked, feeder("new", epoch=9)]
    assert rules(both, both) == [("two owners", None)], "and once where both answer"


@pytest.mark.parametrize(
    ("reason", "uptime_s", "told"),
    [("ended", 30.0, True), ("stuck", 30.0, True), ("ended", 1_000.0, False),
     ("requested", 30.0, False), (None, 30.0, False)],
)  # fmt: skip
def test_a_worker_that_something_ended_is_told_for_a_quarter_of_an_hour(
    reason: str | None, uptime_s: float, told: bool
) -> None:
    worker = gateway("g")
    worker.status.last_restart, worker.status.uptime_s = reason, uptime_s
    members = [worker, feeder("f")]
    assert rules(members, members) == ([("restarted worker", "g")] if told else [])
