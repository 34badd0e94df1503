"""The faults that drills cause on a gateway's or feeder's side of a cluster."""

from __future__ import annotations

from enum import Enum, auto


class LinkFault(Enum):
    """One fault of a gateway's link to NATS, at a time."""

    NONE = auto()
    BROKER_AWAY = auto()
    """The connection is lost, and none can be opened."""
    BROKER_FLAPS = auto()
    """The connection is lost, and opened again."""
    OWNERS_SILENT = auto()
    """Nothing of any owner is heard: no announcement, no quote, no answer."""
    FORMER_OWNER = auto()
    """With each quote, another one arrives from an owner whose lease has ended."""
    LEAKED_INTEREST = auto()
    """For each running feed there is a second subscription on NATS, which nothing reads or ends."""
    SLOW = auto()
    """Quotes are read more slowly than they arrive."""


class FeederFault(Enum):
    """One fault of a feeder, at a time."""

    NONE = auto()
    LEASE_UNANSWERED = auto()
    """Every other renewal of the lease is lost."""
    GATEWAYS_UNHEARD = auto()
    """No answer of any gateway is heard."""
    LEASE_IMAGINED = auto()
    """Requests about the lease are answered as if no other feeder had it, under an epoch that is over."""
