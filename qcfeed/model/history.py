"""The answer about the last hour, for ``qcfeed growth`` without Prometheus."""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Answer


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``since_s``: how far back; more than an hour is not remembered."""

    since_s: float = 3600.0


class HistoryPoint(msgspec.Struct, kw_only=True):
    """One moment; what the program does not have is null. ``orphaned``: tasks and subscriptions.

    ``spawned``: since the ledger began.
    """

    at: str
    resident_bytes: int | None
    live: int | None
    subscriptions: int | None
    orphaned: int | None
    feed_count: int | None
    spawned: int | None


class LocationHistory(msgspec.Struct, kw_only=True):
    """A spawn location's live tasks at ``locations_since``, and at the last snapshot."""

    location: str
    live_before: int
    live: int


class History(Answer, kw_only=True, tag="qcfeed.history/2"):
    """Oldest first, one every 10 s or so. ``locations_since`` is null before the first snapshot."""

    limit_bytes: int
    points: list[HistoryPoint]
    locations_since: str | None
    locations: list[LocationHistory]
