"""A service's side of a cluster, in `qcfeed status`: its figures, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.cli.ui.figures import LabelledValue
from qcfeed.cli.ui.formats import count, plural
from qcfeed.model.cluster import ClusterStatus


def figures(cluster: ClusterStatus) -> Iterator[LabelledValue]:
    """The rows for a gateway or a feeder."""
    yield _broker(cluster)
    yield from _feeder(cluster) if cluster.role == "feeder" else _gateway(cluster)


def findings(cluster: ClusterStatus) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong, each with the commands to type next."""
    why = f": {cluster.problem}" if cluster.problem else ""
    if cluster.needed and not cluster.connected:
        yield f"no connection to {cluster.servers}{why}", ("`qcfeed runbook QcfeedBrokerAway`",)
    elif cluster.shares_without_owner:
        yield (
            f"{plural(cluster.shares_without_owner, 'share')} without an owner{why}",
            ("`qcfeed runbook QcfeedNoOwner`",),
        )
    elif cluster.role == "feeder" and cluster.problem:
        yield f"no lease{why}", ("`qcfeed runbook QcfeedNoOwner`",)
    if cluster.subscriptions_unread:
        leaked = plural(cluster.subscriptions_unread, "subscription")
        yield (
            f"{leaked} on NATS outlived their feed: the owner publishes for nobody",
            ("`qcfeed --cluster orphans`", "`qcfeed --cluster orphans --reap`"),
        )


def _broker(cluster: ClusterStatus) -> LabelledValue:
    if cluster.connected:
        state, style = f"connected to {cluster.server}", None
    elif cluster.needed:
        state, style = "AWAY", "red"
    else:
        state, style = "not needed: no feeds", None
    return LabelledValue(
        "broker", f"{cluster.servers}, {state}; {plural(cluster.reconnects, 'reconnect')}", style
    )


def _gateway(cluster: ClusterStatus) -> Iterator[LabelledValue]:
    owners = [
        f"{owner.symbol_share} {owner.name}, epoch {owner.lease_epoch}"
        if owner.present
        else f"{owner.symbol_share} NONE, last {owner.name}"
        for owner in cluster.owners
    ]
    absent = cluster.shares_without_owner
    if owners or absent:
        yield LabelledValue("owners", "; ".join(owners) or "NONE", "red" if absent else None)
    yield LabelledValue(
        "relayed",
        f"{plural(cluster.symbols_wanted, 'symbol')}; {count(cluster.epochs_rejected)} of old epochs"
        f" rejected, {count(cluster.quotes_skipped)} skipped, {count(cluster.slow_drops)} dropped",
        "yellow" if cluster.slow_drops or cluster.quotes_skipped else None,
    )


def _feeder(cluster: ClusterStatus) -> Iterator[LabelledValue]:
    share = f"share {cluster.symbol_share}"
    if cluster.lease_epoch is not None:
        state = f"owner of {share}, epoch {cluster.lease_epoch}, {cluster.lease_left_s:.1f} s left"
    else:
        state = f"standby of {share}, owned by {cluster.owner or 'nobody'}"
    if cluster.higher_epoch:
        state += f"; gateways follow another owner, epoch {cluster.higher_epoch}"
    yield LabelledValue(
        "lease",
        f"{state}; {plural(cluster.renewals_missed, 'renewal')} missed",
        "red" if cluster.problem or cluster.higher_epoch else None,
    )
    yield LabelledValue(
        "published",
        f"{plural(cluster.quotes_published, 'quote')} of {plural(cluster.symbols_wanted, 'symbol')} to"
        f" {plural(cluster.gateways, 'gateway')}; {count(cluster.interest_without_feed)} without feed,"
        f" {plural(cluster.feeds_without_interest, 'feed')} unwanted,"
        f" {count(cluster.quotes_fenced)} fenced",
    )
