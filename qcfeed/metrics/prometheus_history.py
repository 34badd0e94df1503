"""What Prometheus remembers of one service: its timeline, for growth.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qcfeed.errors import AmbiguousInstanceError, PrometheusError
from qcfeed.formats import printable
from qcfeed.metrics import growth
from qcfeed.metrics.catalog import metrics as m
from qcfeed.metrics.growth import Point
from qcfeed.metrics.prometheus import Prometheus
from qcfeed.metrics.timeline import Timeline, caveats

STEP = 15.0
"""Seconds between two points, at least: Prometheus is usually told to scrape as often."""
POINTS = 10_000
"""Points of one answer; the server refuses more than 11,000."""
HOUR = 3_600.0
"""The longest window that is fitted beside the whole."""
LOCATION_POINTS = 60
"""Points a spawn location."""

LIVE, LIMIT, SUBSCRIPTIONS = m.TASKS_LIVE.name, m.MEMORY_LIMIT.name, m.SUBSCRIPTIONS.name
ORPHANS = (m.TASKS_ORPHANED.name, m.SUBSCRIPTIONS_ORPHANED.name)
ALL = (
    m.RESIDENT.name,
    LIMIT,
    LIVE,
    m.TASKS_SPAWNED.name,
    SUBSCRIPTIONS,
    m.FEEDS.name,
    *ORPHANS,
)


class Target(NamedTuple):
    """A scraped service, by the labels that Prometheus gave it."""

    job: str
    instance: str

    def __str__(self) -> str:
        return printable("/".join(filter(None, self))) or "without labels"

    @property
    def selector(self) -> str:
        """For a query; an empty label matches what has none."""
        return ",".join(f"{name}={_quoted(value)}" for name, value in self._asdict().items())


def of(server: Prometheus, wanted: str | None, at: float | None, since: float) -> Timeline:
    """The last ``since`` seconds until ``at`` (now, by the server's clock, if None).

    ``wanted`` names a target (instance, or job/instance), which is needed where there are several.
    Raises AmbiguousInstanceError, and PrometheusError where there is nothing. Cost: five or six requests.
    """
    notes = []
    if skew := server.skew:
        side = "ahead of" if skew > 0 else "behind"
        notes.append(
            f"Prometheus' clock is {abs(skew):,.0f} s {side} this machine's: its times are shown"
        )
    end = math.floor(server.now() if at is None else at)
    target, renamed = choose(targets(server, end, since), wanted, server.url)
    points, limit = _points(server, target, end, since)
    if not points:
        raise PrometheusError(f"Prometheus at {server.url} has no samples of {target}")
    notes += [*renamed, *caveats(points, limit, end)]
    restarts = growth.restarts(points)
    begin = max([points[0].at, *restarts])
    return Timeline(
        at=float(end),
        source="prometheus",
        target=str(target),
        points=points,
        limit=limit,
        locations=_locations(server, target, begin, points[-1].at),
        missing=[*notes, *(f"Prometheus warns: {warning}" for warning in server.warnings)],
    )


# ---------------------------------------------------------------- targets


def targets(server: Prometheus, end: float, since: float) -> dict[Target, tuple[float, float]]:
    """Every service that was scraped in that time, with its first and last sample's time.

    One minute exact: it is for telling who followed whom.
    """
    step = max(60.0, math.ceil(since / LOCATION_POINTS))
    names = f'__name__=~"{LIVE}|{LIMIT}|{SUBSCRIPTIONS}"'
    query = f"count by (job, instance) (last_over_time({{{names}}}[{_just_under(step)}]))"
    found = server.range(query, end - since, end, step)
    return {
        Target(each.labels.get("job", ""), each.labels.get("instance", "")): (
            each.samples[0][0],
            each.samples[-1][0],
        )
        for each in found
        if each.samples
    }


def choose(
    seen: Mapping[Target, tuple[float, float]], wanted: str | None, url: str
) -> tuple[Target, list[str]]:
    """The target that is meant, and what should be said of it.

    One that ended before another began is told, and not asked about: it was renamed or replaced.
    """
    if not seen:
        raise PrometheusError(
            f"Prometheus at {url} has no samples of a qcfeed service in that time",
            hint="is it scraped? `qcfeed artifacts` has a prometheus.yml;"
            f" {url}/targets shows what is",
        )
    if wanted is not None:
        matching = {t: seen[t] for t in seen if wanted in (t.instance, t.job, str(t))}
        if not matching:
            raise PrometheusError(
                f"Prometheus at {url} has no target {wanted} in that time",
                hint=f"it has {_listed(seen)}: renamed?",
            )
        seen, others = matching, {t: when for t, when in seen.items() if t not in matching}
    else:
        others = {}
    last = max(seen, key=lambda target: seen[target][1])
    began = seen[last][0]
    rivals = [target for target, (_, ended) in seen.items() if ended >= began and target != last]
    if rivals:
        raise AmbiguousInstanceError(
            f"Prometheus has {len(rivals) + 1} services: {_listed([last, *rivals])}",
            hint=f"say which: --prometheus-target {last.instance or last.job}",
        )
    return last, [*_earlier(seen, last), *_later(others, last, seen[last][1])]


def _earlier(seen: Mapping[Target, tuple[float, float]], last: Target) -> list[str]:
    return [
        f"before, there was {target}: --prometheus-target {target} tells of it"
        for target in seen
        if target != last
    ]


def _later(others: Mapping[Target, tuple[float, float]], chosen: Target, ended: float) -> list[str]:
    return [
        f"{chosen} has ended, and {target} began then: was it renamed?"
        for target, (began, _) in others.items()
        if began >= ended
    ]


def _listed(many: Mapping[Target, tuple[float, float]] | Sequence[Target]) -> str:
    return ", ".join(sorted(map(str, many)))


# ---------------------------------------------------------------- samples


def _points(
    server: Prometheus, target: Target, end: float, since: float
) -> tuple[list[Point], float | None]:
    """Points every STEP; of a long time only in its last hour, and coarser before that."""
    step = max(STEP, math.ceil(since / POINTS))
    parts = (
        [(since, 0.0, STEP)] if step == STEP else [(since, HOUR, step), (HOUR - STEP, 0.0, STEP)]
    )
    points: list[Point] = []
    limit = None
    for begin, until, every in parts:
        some, limit = _part(server, target, end - begin, end - until, every)
        points += some
    return points, limit


def _part(
    server: Prometheus, target: Target, begin: float, end: float, step: float
) -> tuple[list[Point], float | None]:
    """``last_over_time`` over just one step: a plain selector would fill five minutes' gaps."""
    first = end - math.floor((end - begin) / step) * step
    query = (
        "sum by (__name__)"
        f' (last_over_time({{__name__=~"{"|".join(ALL)}",{target.selector}}}[{_just_under(step)}]))'
    )
    found = server.range(query, first, end, step)
    named = {each.labels.get("__name__", ""): dict(each.samples) for each in found}
    times = sorted({at for name, samples in named.items() if name != LIMIT for at in samples})
    limits = list(named.get(LIMIT, {}).values())
    return [_point(named, at) for at in times], limits[-1] if limits else None


def _point(named: Mapping[str, Mapping[float, float]], at: float) -> Point:
    def value(name: str) -> float | None:
        return named.get(name, {}).get(at)

    orphaned = [each for name in ORPHANS if (each := value(name)) is not None]
    return Point(
        at,
        memory=value(m.RESIDENT.name),
        live=value(LIVE),
        subscriptions=value(SUBSCRIPTIONS),
        orphans=sum(orphaned) if orphaned else None,
        feeds=value(m.FEEDS.name),
        spawned=value(m.TASKS_SPAWNED.name),
    )


def _locations(
    server: Prometheus, target: Target, begin: float, end: float
) -> dict[str, Sequence[tuple[float, float]]]:
    step = max(STEP, math.ceil((end - begin) / LOCATION_POINTS))
    query = f"sum by (location) (last_over_time({LIVE}{{{target.selector}}}[{_just_under(step)}]))"
    first = end - math.floor((end - begin) / step) * step
    found = server.range(query, first, end, step)
    return {each.labels.get("location", "unknown"): each.samples for each in found}


def _just_under(step: float) -> str:
    """One step as a duration, less a millisecond: a sample on the border is counted once."""
    return f"{step * 1_000 - 1:.0f}ms"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
