"""The answer of ``qcfeed growth``, computed from a timeline. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from qcfeed import rfc3339
from qcfeed.formats import age, size
from qcfeed.metrics import claims, growth, urgency
from qcfeed.metrics.claims import Claim
from qcfeed.metrics.growth import GrowthWindow, LocationGrowth, Point
from qcfeed.metrics.timeline import Timeline
from qcfeed.model import thresholds
from qcfeed.model.history import HistoryPoint


class WorstWindow(msgspec.Struct, kw_only=True):
    """The window with the shortest time to the limit."""

    window: str
    time_to_limit_s: float


class ClaimAnswer(msgspec.Struct, kw_only=True):
    """A growth rate that an alert claimed, and why it is right or wrong.

    ``slower``: how many times faster the worst window grows. ``averaged_s``: length of the average that
    gives the claimed rate.
    """

    alert: str
    text: str
    memory_bytes_per_hour: float
    time_to_limit_s: float | None
    slower: float | None
    averaged_s: float | None
    why: str


class Growth(msgspec.Struct, kw_only=True, tag_field="schema", tag="qcfeed.growth/2"):
    """How fast memory and tasks grow. ``windows``: worst first. ``worst``: null if none reaches the limit.

    ``problems``: what is wrong, in words. ``missing``: what is not known or may mislead. ``gaps``: from the
    last sample before each gap to the first after it.
    """

    at: str
    source: str
    target: str
    resident_bytes: int | None
    limit_bytes: int | None
    windows: list[GrowthWindow]
    worst: WorstWindow | None
    accelerating: bool
    sustained: bool
    bytes_per_task: float | None
    problems: list[str]
    claims: list[ClaimAnswer]
    missing: list[str]
    restarted_at: list[str]
    gaps: list[tuple[str, str]]
    locations: list[LocationGrowth]
    timeline: list[HistoryPoint]


def answer(
    timeline: Timeline, claimed: Sequence[Claim] = (), *, horizon: float = thresholds.MEMORY_LEFT_S
) -> Growth:
    """Fit every window and find what is wrong (growth.py). ``claimed``: rates that alerts claimed.

    ``horizon``: seconds; memory that reaches its limit sooner is a finding.
    """
    found = growth.windows(timeline.points, timeline.at, timeline.limit)
    worst = urgency.worst(found)
    held = [point.memory for point in timeline.points if point.memory is not None]
    task = growth.per_task(timeline.points)
    return Growth(
        at=rfc3339.seconds(timeline.at),
        source=timeline.source,
        target=timeline.target,
        resident_bytes=round(held[-1]) if held else None,
        limit_bytes=None if timeline.limit is None else round(timeline.limit),
        windows=urgency.worst_first(found),
        worst=None
        if worst is None
        else WorstWindow(window=worst.window, time_to_limit_s=worst.time_to_limit_s or 0.0),
        accelerating=urgency.accelerating(found),
        sustained=urgency.sustained(timeline.points, timeline.at),
        bytes_per_task=None if task is None or task.r2 < growth.GOOD_FIT else task.bytes,
        problems=list(_findings(timeline, found, horizon)),
        claims=[
            _claim(claims.check(each, timeline.points, found, timeline.limit)) for each in claimed
        ],
        missing=list(timeline.missing),
        restarted_at=[rfc3339.seconds(at) for at in growth.restarts(timeline.points)],
        gaps=[
            (rfc3339.seconds(begin), rfc3339.seconds(end))
            for begin, end in growth.gaps(timeline.points)
        ],
        locations=growth.by_location(timeline.locations),
        timeline=[history_point(point, rfc3339.seconds(point.at)) for point in timeline.points],
    )


def in_words(window: str) -> str:
    """A window in words: ``at the rate of the last 15m``."""
    return (
        "at the rate of the whole time"
        if window == growth.WHOLE
        else f"at the rate of the last {window}"
    )


def _findings(
    timeline: Timeline, found: Sequence[growth.GrowthWindow], horizon: float
) -> Iterator[str]:
    soon = urgency.reaching_limit(found, horizon)
    if soon is not None and timeline.limit is not None:
        left, rate = soon.time_to_limit_s or 0.0, soon.memory_bytes_per_hour or 0.0
        yield (
            f"memory reaches its limit of {size(timeline.limit)} in {age(left)},"
            f" {in_words(soon.window)}, {size(rate)} per hour"
            if left
            else f"memory is at its limit of {size(timeline.limit)}"
        )
    if urgency.sustained(timeline.points, timeline.at):
        rates = [each.tasks_per_minute for each in found if each.tasks_per_minute is not None]
        yield (
            f"live tasks grow in every window, by up to {max(rates):,.0f} per minute, and feeds do not"
            " explain it"
        )


def _claim(answered: claims.CheckedClaim) -> ClaimAnswer:
    return ClaimAnswer(
        alert=answered.claim.alert,
        text=answered.claim.text,
        memory_bytes_per_hour=answered.claim.bytes_per_hour,
        time_to_limit_s=answered.time_to_limit_s,
        slower=answered.slower,
        averaged_s=answered.averaged_s,
        why=answered.why,
    )


def history_point(point: Point, at: str) -> HistoryPoint:
    """A sample as answers give it, with ``at`` as its time: counts are whole numbers."""
    return HistoryPoint(
        at=at,
        resident_bytes=_whole(point.memory),
        live=_whole(point.live),
        subscriptions=_whole(point.subscriptions),
        orphaned=_whole(point.orphans),
        feed_count=_whole(point.feeds),
        spawned=_whole(point.spawned),
    )


def point(sample: HistoryPoint) -> Point:
    """A sample of the service's history as a point for metrics/growth.py."""
    return Point(
        rfc3339.unix(sample.at),
        memory=sample.resident_bytes,
        live=sample.live,
        subscriptions=sample.subscriptions,
        orphans=sample.orphaned,
        feeds=sample.feed_count,
        spawned=sample.spawned,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
