from __future__ import annotations

from typing import Any

import pytest

from qcfeed.diagnose import cluster_orphans
from qcfeed.diagnose.cluster_orphans import MemberFeeds
from qcfeed.model.cluster import ClusterView, LeaseSeen, SubscriptionSeen
from qcfeed.model.feeds import FeedStatus


def feed(
    symbol: str, *, demand: str = "wanted", subscribers: int = 1, epoch: str = "7.1"
) -> FeedStatus:
    return FeedStatus(
        symbol=symbol, demand=demand, upstream_state="open", subscriber_count=subscribers,
        generation=1, band="live", reason=None, last_quote_at=None, age_s=None, quotes=0,
        quotes_per_s=0.0, restarts=0, epoch=epoch,
    )  # fmt: skip


def gateway(name: str, *feeds: FeedStatus, leaked: tuple[str, ...] = ()) -> MemberFeeds:
    """Its feeds have a subscription each; those of ``leaked`` are read by none."""
    subscriptions = [
        SubscriptionSeen(symbol=each.symbol, life=str(number), read=True)
        for number, each in enumerate(feeds, 1)
    ] + [SubscriptionSeen(symbol=each, life=f"9{each}", read=False) for each in leaked]
    view = ClusterView(role="gateway", name=f"h:{name}", nats_subscriptions=subscriptions)
    return MemberFeeds(name, view, feeds)


def feeder(name: str, *feeds: FeedStatus, epoch: int | None = 7, **fields: Any) -> MemberFeeds:
    view = ClusterView(
        role="feeder", name=f"h:{name}", symbol_share="1/1", lease_epoch=epoch, **fields
    )
    return MemberFeeds(name, view, feeds)


def standby(name: str, holder: str, unrenewed_s: float) -> MemberFeeds:
    lease = LeaseSeen(holder=holder, revision=41, unrenewed_s=unrenewed_s, ttl_s=30.0)
    return feeder(name, epoch=None, lease=lease)


EMBEDDED = MemberFeeds("8006", ClusterView(role="embedded"), (feed("AAPL"),))


def kinds(members: list[MemberFeeds], unanswered: int = 0) -> list[tuple[str, str, str]]:
    return [(e.kind, e.member, e.symbol) for e in cluster_orphans.orphans(members, unanswered)]


def test_views_that_agree_have_no_orphans() -> None:
    members = [gateway("g", feed("AAPL")), feeder("f", feed("AAPL")), standby("s", "h:f", 1.0)]
    assert kinds([*members, EMBEDDED]) == []


def test_a_feed_of_a_feeder_without_the_lease_is_an_orphan_of_that_life() -> None:
    members = [gateway("g", feed("AAPL")), feeder("f", feed("AAPL")),
               feeder("old", feed("AAPL", epoch="3.1"), epoch=None)]  # fmt: skip
    [found] = cluster_orphans.orphans(members, 0)
    assert (found.kind, found.member, found.epoch) == ("feed without lease", "old", "3.1")


def test_a_feed_that_no_gateway_has_is_an_orphan_unless_it_lingers() -> None:
    members = [gateway("g"), feeder("f", feed("AAPL"), feed("MSFT", demand="lingering"))]
    assert kinds(members) == [("feed without gateway", "f", "AAPL")]
    assert kinds(members, unanswered=1) == [], "the one that did not answer may want it"


def test_a_subscriber_on_nats_that_is_no_gateway_is_told_as_what_keeps_the_feed() -> None:
    [found] = cluster_orphans.orphans(
        [gateway("g"), feeder("f", feed("A"), unlisted_symbols=["A"])], 0
    )
    assert "no gateway keeps it" in found.reason
    assert found.epoch == "7.1"


def test_a_lingering_feed_of_a_gateway_keeps_that_of_the_feeder() -> None:
    lingering = feed("AAPL", demand="lingering", subscribers=0)
    assert kinds([gateway("g", lingering), feeder("f", feed("AAPL"))]) == []


@pytest.mark.parametrize("feeds", [(), (feed("AAPL"),)], ids=["no feed", "another subscription"])
def test_a_subscription_that_no_feed_reads_is_an_orphan_of_that_life(
    feeds: tuple[FeedStatus, ...],
) -> None:
    members = [gateway("g", *feeds, leaked=("AAPL",)), feeder("f", feed("AAPL"))]
    [found] = cluster_orphans.orphans(members, 1)
    assert (found.kind, found.member) == ("subscription without subscribers", "g")
    assert found.epoch == "9AAPL"


def test_subscribers_whose_symbol_no_owner_runs_are_told_and_nothing_is_ended() -> None:
    members = [gateway("g", feed("AAPL"), feed("MSFT", subscribers=0)), feeder("f")]
    [found] = cluster_orphans.orphans(members, 0)
    assert (found.kind, found.member, found.symbol) == ("interest without feed", "g", "AAPL")
    assert found.epoch is None
    assert cluster_orphans.orphans(members, 1) == []


def test_a_lease_that_is_not_renewed_and_whose_feeder_does_not_answer_is_an_orphan() -> None:
    [found] = cluster_orphans.orphans([standby("s", "h:gone", 12.0), standby("t", "h:gone", 12)], 1)
    assert (found.kind, found.member, found.symbol) == ("lease without feeder", "s", "share 1/1")
    assert found.epoch == "41"


@pytest.mark.parametrize(
    "members",
    [
        [standby("s", "h:gone", 11.0)],
        [standby("s", "h:f", 12.0), feeder("f", epoch=None)],
    ],
    ids=["it may still be renewed", "its feeder answers"],
)
def test_a_lease_in_doubt_is_no_orphan(members: list[MemberFeeds]) -> None:
    assert kinds(members) == []


def test_only_what_two_looks_agree_on_counts() -> None:
    first = cluster_orphans.orphans([gateway("g"), feeder("f", feed("AAPL"), feed("MSFT"))], 0)
    second = cluster_orphans.orphans(
        [gateway("g"), feeder("f", feed("AAPL", epoch="7.2"), feed("MSFT"))], 0
    )
    assert [each.symbol for each in cluster_orphans.agreed(first, second)] == ["MSFT"]


def test_each_share_is_examined_although_another_one_is_held_by_a_feeder_that_answers() -> None:
    def waits_for(share: str, holder: str) -> MemberFeeds:
        lease = LeaseSeen(holder=holder, revision=41, unrenewed_s=29.0, ttl_s=30.0)
        view = ClusterView(role="feeder", name=f"h:{share}", symbol_share=share, lease=lease)
        return MemberFeeds(share, view, ())

    members = [feeder("f"), waits_for("1/2", "h:f"), waits_for("2/2", "h:gone")]
    assert kinds(members) == [("lease without feeder", "2/2", "share 2/2")]
