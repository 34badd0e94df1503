"""A service's history from Prometheus, as a bundle keeps it."""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.history import HistoryPoint


class AlertClaim(msgspec.Struct, kw_only=True):
    """A growth rate of memory that an alert claimed while it was firing; ``text``: its own words."""

    alert: str
    text: str
    memory_bytes_per_hour: float


class PrometheusHistory(Answer, kw_only=True, tag="qcfeed.prometheus.history/1"):
    """Samples, oldest first. ``live_by_location``: (Unix seconds, live tasks) by spawn location.

    ``source``: the server. ``target``: job/instance of the service there. ``missing``: what is not
    available or may mislead.
    """

    source: str
    target: str
    limit_bytes: int | None
    points: list[HistoryPoint]
    live_by_location: dict[str, list[tuple[float, float]]]
    claims: list[AlertClaim]
    missing: list[str]
