"""A timeline of Prometheus as a bundle keeps it, and read back. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from qcfeed import rfc3339
from qcfeed.metrics.claims import Claim
from qcfeed.metrics.growth_answer import history_point, point
from qcfeed.metrics.timeline import Timeline
from qcfeed.model.prometheus_history import AlertClaim, PrometheusHistory


def saved(timeline: Timeline, claims: Sequence[Claim], source: str) -> PrometheusHistory:
    """The timeline as an answer; ``source``: the address of the server."""
    return PrometheusHistory(
        taken_at=rfc3339.seconds(timeline.at),
        source=source,
        target=timeline.target,
        limit_bytes=None if timeline.limit is None else round(timeline.limit),
        points=[history_point(each, rfc3339.seconds(each.at)) for each in timeline.points],
        live_by_location={name: list(samples) for name, samples in timeline.locations.items()},
        claims=[
            AlertClaim(alert=each.alert, text=each.text, memory_bytes_per_hour=each.bytes_per_hour)
            for each in claims
        ],
        missing=list(timeline.missing),
    )


def restored(
    kept: PrometheusHistory, at: float | None, since: float
) -> tuple[Timeline, list[Claim]]:
    """The timeline in ``since`` seconds until ``at``, by default all until it was taken."""
    end = rfc3339.unix(kept.taken_at) if at is None else at
    timeline = Timeline(
        at=end,
        source="prometheus",
        target=kept.target,
        points=[each for each in map(point, kept.points) if end - since <= each.at <= end],
        limit=kept.limit_bytes,
        locations=kept.live_by_location if at is None else {},
        missing=kept.missing,
    )
    return timeline, [
        Claim(each.alert, each.text, each.memory_bytes_per_hour) for each in kept.claims
    ]
