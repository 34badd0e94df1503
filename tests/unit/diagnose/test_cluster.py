from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qcfeed.diagnose import cluster
from qcfeed.diagnose.cluster import MemberView
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.feeds import Feed
from qcfeed.model.status import Bands, Listening, Memory, Status
from qcfeed.model.tasks import TaskTotals


def status(part: ClusterStatus | None, **fields: Any) -> Status:
    given = Status(
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


def feed(symbol: str, *, demand: str = "wanted", subscribers: int = 1, epoch: str = "7.1") -> Feed:
    return Feed(
        symbol=symbol, demand=demand, upstream_state="open", subscriber_count=subscribers,
        generation=1, band="live", reason=None, last_quote_at=None, age_s=None, quotes=0,
        quotes_per_s=0.0, restarts=0, epoch=epoch,
    )  # fmt: skip


def gateway(name: str, *feeds: Feed, **fields: Any) -> MemberView:
    return MemberView(name, status(part("gateway", **fields), subscriptions=len(feeds)), feeds)


def feeder(name: str, *feeds: Feed, epoch: int | None = 7, **fields: Any) -> MemberView:
    return MemberView(
        name, status(part("feeder", lease_epoch=epoch, symbol_share="1/1", **fields)), feeds
    )


EMBEDDED = MemberView("8006", status(None), (feed("AAPL"),))


def kinds(members: list[MemberView], unanswered: int = 0) -> list[tuple[str, str, str]]:
    return [(e.kind, e.member, e.symbol) for e in cluster.orphans(members, unanswered)]


def test_views_that_agree_have_no_orphans() -> None:
    assert kinds([gateway("g", feed("AAPL")), feeder("f", feed("AAPL")), EMBEDDED]) == []


def test_a_feed_of_a_feeder_without_the_lease_is_an_orphan_of_that_life() -> None:
    members = [gateway("g", feed("AAPL")), feeder("f", feed("AAPL")),
               feeder("old", feed("AAPL", epoch="3.1"), epoch=None)]  # fmt: skip
    [found] = cluster.orphans(members, 0)
    assert (found.kind, found.member, found.epoch) == ("feed without lease", "old", "3.1")


def test_a_feed_that_no_gateway_has_is_an_orphan_unless_it_lingers() -> None:
    members = [gateway("g"), feeder("f", feed("AAPL"), feed("MSFT", demand="lingering"))]
    assert kinds(members) == [("feed without gateway", "f", "AAPL")]
    assert kinds(members, unanswered=1) == [], "the one that did not answer may want it"


def test_a_lingering_feed_of_a_gateway_keeps_that_of_the_feeder() -> None:
    lingering = feed("AAPL", demand="lingering", subscribers=0)
    assert kinds([gateway("g", lingering), feeder("f", feed("AAPL"))]) == []


def test_subscribers_whose_symbol_no_owner_runs_are_told_and_not_cancelled() -> None:
    members = [gateway("g", feed("AAPL"), feed("MSFT", subscribers=0)), feeder("f")]
    [found] = cluster.orphans(members, 0)
    assert (found.kind, found.member, found.symbol) == ("subscribers without feed", "g", "AAPL")
    assert found.epoch is None
    assert cluster.orphans(members, 1) == []


def test_only_what_two_looks_agree_on_counts() -> None:
    first = cluster.orphans([gateway("g"), feeder("f", feed("AAPL"), feed("MSFT"))], 0)
    second = cluster.orphans(
        [gateway("g"), feeder("f", feed("AAPL", epoch="7.2"), feed("MSFT"))], 0
    )
    assert [each.symbol for each in cluster.agreed(first, second)] == ["MSFT"]


# ------------------------------------------------------------ findings


def rules(before: list[MemberView], now: list[MemberView]) -> list[tuple[str, str | None]]:
    return [(each.rule, each.member) for each in cluster.findings(before, now)]


def test_a_healthy_cluster_has_no_findings() -> None:
    members = [
        gateway("g", feed("AAPL")),
        feeder("f", feed("AAPL")),
        feeder("s", epoch=None),
        EMBEDDED,
    ]
    assert rules(members, members) == []


def test_two_owners_of_one_share_are_told_with_the_one_to_restart() -> None:
    [found] = cluster.findings([], [feeder("new", epoch=9), feeder("old", epoch=7)])
    assert found.rule == "two owners"
    assert "new (epoch 9), old (epoch 7)" in found.what
    assert found.hint.startswith("restart old:")


def test_owners_of_different_shares_are_no_conflict() -> None:
    other = feeder("b")
    assert other.status.cluster is not None
    other.status.cluster.symbol_share = "2/2"
    assert rules([], [feeder("a"), other]) == []


@pytest.mark.parametrize(
    ("feeders", "why"),
    [
        ([], "none runs"),
        ([feeder("f", epoch=None)], "none has the lease yet"),
        ([feeder("f", epoch=None, problem="no JetStream")], "no JetStream"),
    ],
)
def test_gateways_without_an_owner_are_told_why(feeders: list[MemberView], why: str) -> None:
    [found] = cluster.findings([], [gateway("g", feed("AAPL")), *feeders])
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
        ("epochs_rejected", "old owner publishes"),
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
