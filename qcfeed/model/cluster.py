"""The state of a gateway's or a feeder's side of the cluster, a part of its status."""

from __future__ import annotations

import msgspec


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
    epochs_rejected: int = 0
    """Quotes and announcements dropped because a newer owner is known."""
    slow_drops: int = 0
    """Messages dropped because too many waited: the gateway is too slow."""
    quotes_skipped: int = 0
    """Quotes replaced by a newer one because the gateway was behind."""
    symbols_wanted: int = 0
    """Of a gateway: symbols it subscribes to; of an owner: symbols that gateways want."""
    owners: list[Owner] = []
    """Of a gateway: the owner of each share."""
    shares_without_owner: int = 0
    """Of a connected gateway: shares whose owner it does not hear; 1 if it has heard of none."""
    symbol_share: str | None = None
    """Of a feeder: its share of the symbols, for example ``2/4``."""
    owner: str | None = None
    """Of a feeder: the owner of its share, as last seen."""
    lease_epoch: int | None = None
    """Of the owner: its epoch; null for a feeder that is not the owner."""
    lease_left_s: float = 0.0
    renewals_missed: int = 0
    quotes_fenced: int = 0
    """Quotes that were not published because the lease had ended."""
    quotes_published: int = 0
    gateways: int = 0
    """Gateways that answered the owner's last announcement."""
    feeds_without_interest: int = 0
    """Feeds of an owner that no gateway wants; they linger."""
    interest_without_feed: int = 0
    """Symbols that gateways want and that have no open feed."""
    problem: str | None = None
    """What is wrong: why it cannot connect, or get a lease, or hears no owner."""
