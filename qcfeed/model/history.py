"""The answer about the last hour, which ``qcfeed growth`` uses without Prometheus."""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True):
    """``since_s``: how many seconds back, up to an hour."""

    since_s: float = 3600.0


class HistoryPoint(msgspec.Struct, kw_only=True):
    """One sample. A value that the program does not have is null.

    ``orphaned``: orphaned tasks and subscriptions. ``spawned``: since the ledger was installed.
    """

    at: str
    resident_bytes: int | None
    live: int | None
    subscriptions: int | None
    orphaned: int | None
    feed_count: int | None
    spawned: int | None


class LocationHistory(msgspec.Struct, kw_only=True):
    """A spawn location's live tasks at ``locations_since`` (``live_before``) and at the last snapshot."""

    location: str
    live_before: int
    live: int


class History(Answer, kw_only=True, tag="qcfeed.history/2"):
    """Samples, oldest first, about every 10 s. ``locations_since``: null before the first snapshot."""

    limit_bytes: int
    points: list[HistoryPoint]
    locations_since: str | None
    locations: list[LocationHistory]
