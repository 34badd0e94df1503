"""A gateway's or feeder's side of the cluster: in its status, in full, and reaping orphans there."""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer


class Owner(msgspec.Struct, kw_only=True):
    """The owner of one share, as a gateway has heard of it."""

    symbol_share: str
    name: str
    lease_epoch: int
    upstream: str
    upstream_connected: bool
    announced_s: float
    """Seconds since it last announced itself."""
    present: bool
    """Whether it announced itself within its lease."""


class ClusterStatus(msgspec.Struct, kw_only=True):
    role: str
    """``gateway`` or ``feeder``."""
    name: str
    servers: str
    connected: bool
    needed: bool = True
    """Whether a connection is wanted: a gateway without feeds needs none."""
    server: str | None = None
    """The NATS server that it is connected to."""
    reconnects: int = 0
    lost_s: float | None = None
    """Seconds since the connection was lost the last time; null if it never was."""
    epochs_rejected: int = 0
    """Quotes and announcements dropped because a newer owner is known."""
    slow_drops: int = 0
    """Messages dropped because too many waited: the gateway is too slow."""
    quotes_skipped: int = 0
    """Quotes replaced by a newer one because the gateway was behind."""
    symbols_wanted: int = 0
    """For a gateway: symbols it subscribes to; for an owner: symbols that gateways want."""
    subscriptions_unread: int = 0
    """For a gateway: subscriptions on NATS that have outlived their feed."""
    owners: list[Owner] = []
    """For a gateway: the owner of each share."""
    shares_without_owner: int = 0
    """For a connected gateway: shares whose owner it does not hear; 1 if it has heard of none."""
    symbol_share: str | None = None
    """For a feeder: its share of the symbols, for example ``2/4``."""
    owner: str | None = None
    """For a feeder: the owner of its share, as last seen."""
    lease_epoch: int | None = None
    """For the owner: its epoch; null for a feeder that is not the owner."""
    higher_epoch: int = 0
    """For the owner: an epoch above its own that gateways have seen of its share, because another feeder owns it too;
    else 0."""
    lease_left_s: float = 0.0
    renewals_missed: int = 0
    quotes_fenced: int = 0
    """Quotes that were not published because the lease had ended."""
    quotes_published: int = 0
    gateways: int = 0
    """Gateways that answered the owner's last announcement."""
    feeds_without_interest: int = 0
    """Feeds of an owner that no gateway lists, while NATS knows subscribers of their symbols."""
    interest_without_feed: int = 0
    """Symbols that gateways want and that have no open feed."""
    problem: str | None = None
    """What is wrong: why it cannot connect, or get a lease, or hears no owner."""


class LeaseSeen(msgspec.Struct, kw_only=True):
    """A share's lease as a feeder has read it last."""

    holder: str
    """The name of the feeder that holds it."""
    revision: int
    unrenewed_s: float
    """Seconds since this feeder has seen the revision change."""
    ttl_s: float


class SubscriptionSeen(msgspec.Struct, kw_only=True):
    """A gateway's subscription on NATS to the quotes of a symbol."""

    symbol: str
    life: str
    """Which subscription of the gateway's process it is."""
    read: bool
    """Whether a feed reads it."""


class ClusterView(Answer, kw_only=True, tag="qcfeed.cluster.view/1"):
    """What one instance runs and wants, in full, to be compared with the views of the others.

    ``role``: ``gateway``, ``feeder``, or ``embedded`` for a service in no cluster.
    """

    role: str
    name: str = ""
    symbol_share: str | None = None
    lease_epoch: int | None = None
    """For the owner: its epoch; null for a feeder that is not the owner."""
    lease: LeaseSeen | None = None
    """For a feeder: the lease of another feeder on its share."""
    nats_subscriptions: list[SubscriptionSeen] = msgspec.field(default_factory=list)
    """For a gateway: its subscriptions on NATS."""
    unlisted_symbols: list[str] = msgspec.field(default_factory=list)
    """For an owner: symbols that no gateway asks for, and that something on NATS is subscribed to."""


class ClusterReapRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """End orphans. Each is named together with its life; one that has begun another life since is left alone."""

    feeds: dict[str, str] = {}
    """By symbol, the epoch of the feed."""
    subscriptions: dict[str, str] = {}
    """By life, the symbol of the gateway's subscription."""
    lease_revision: int | None = None
    """The revision of the lease of a feeder that is gone."""
    timeout_s: float = 10.0


class ClusterRefusal(msgspec.Struct, kw_only=True):
    """An orphan that was not ended, and why."""

    what: str
    why: str


class ClusterReaped(Answer, kw_only=True, tag="qcfeed.cluster.reap/1"):
    """``ended_names``: each is a symbol, or ``share N/M`` for a lease."""

    ended_names: list[str]
    refusals: list[ClusterRefusal]
