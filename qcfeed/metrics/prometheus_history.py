"""Reads the timeline of one service from Prometheus, for growth.py."""

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
"""Minimum seconds between two points: the usual scrape interval."""
POINTS = 10_000
"""Points per answer; Prometheus refuses more than 11,000."""
HOUR = 3_600.0
"""The longest window that is fitted, besides the whole time."""
LOCATION_POINTS = 60
"""Points per spawn location."""

LIVE, LIMIT, SUBSCRIPTIONS = m.TASKS_LIVE.name, m.MEMORY_LIMIT.name, m.SUBSCRIPTIONS.name
ORPHANS = (m.TASKS_ORPHANED.name, m.SUBSCRIPTIONS_ORPHANED.name)
_METRICS = (
    m.RESIDENT,
    m.MEMORY_LIMIT,
    m.TASKS_LIVE,
    m.TASKS_SPAWNED,
    m.SUBSCRIPTIONS,
    m.FEEDS,
    m.TASKS_ORPHANED,
    m.SUBSCRIPTIONS_ORPHANED,
)
ALL = tuple(each.name for each in _METRICS)
_OWN_LABELS = ", ".join(sorted({label for each in _METRICS for label in each.labels}))
"""The labels that the service itself sets. Series that differ in others only are copies of one series, as
two replicas of a Prometheus write them: the larger value counts, and they are not summed."""


class PrometheusTarget(NamedTuple):
    """A scraped service, identified by Prometheus' labels ``job``, ``instance`` and ``cluster``.

    ``cluster`` is a label that servers add when they send the samples of several clusters to one store.
    """

    job: str
    instance: str
    cluster: str = ""

    def __str__(self) -> str:
        names = filter(None, (self.cluster, self.job, self.instance))
        return printable("/".join(names)) or "without labels"

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which a user may select it."""
        return (self.instance, self.job, f"{self.job}/{self.instance}", str(self))

    @property
    def selector(self) -> str:
        """Label matchers for a query. An empty value matches series without the label."""
        return ",".join(f"{name}={_quoted(value)}" for name, value in self._asdict().items())


def of(server: Prometheus, wanted: str | None, at: float | None, since: float) -> Timeline:
    """The timeline of the last ``since`` seconds until ``at`` (None: now, by the server's clock).

    ``wanted``: the target (instance, or job/instance); needed if there are several. Raises
    AmbiguousInstanceError if it is not clear which one, and PrometheusError if there are no samples.
    Cost: five or six requests.
    """
    notes = []
    if skew := server.skew:
        side = "ahead of" if skew > 0 else "behind"
        notes.append(
            f"Prometheus' clock is {abs(skew):,.0f} s {side} this machine's; times are by its clock"
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


def targets(
    server: Prometheus, end: float, since: float
) -> dict[PrometheusTarget, tuple[float, float]]:
    """Every service that was scraped in that time, with the times of its first and last sample.

    The times are exact to a minute, which is enough to see which target replaced which.
    """
    step = max(60.0, math.ceil(since / LOCATION_POINTS))
    names = f'__name__=~"{LIVE}|{LIMIT}|{SUBSCRIPTIONS}"'
    query = f"count by (job, instance, cluster) (last_over_time({{{names}}}[{_just_under(step)}]))"
    found = server.range(query, end - since, end, step)
    return {
        PrometheusTarget(*(each.labels.get(name, "") for name in PrometheusTarget._fields)): (
            each.samples[0][0],
            each.samples[-1][0],
        )
        for each in found
        if each.samples
    }


def choose(
    seen: Mapping[PrometheusTarget, tuple[float, float]], wanted: str | None, url: str
) -> tuple[PrometheusTarget, list[str]]:
    """The target to show, and notes about it.

    If one target ended before another began, it was probably renamed or replaced. Then the later one is
    chosen, with a note, and no error is raised.
    """
    if not seen:
        raise PrometheusError(
            f"Prometheus at {url} has no samples of a qcfeed service in that time",
            hint="is it scraped? `qcfeed artifacts` has a prometheus.yml;"
            f" {url}/targets lists the targets",
        )
    if wanted is not None:
        matching = {t: seen[t] for t in seen if wanted in t.names}
        if not matching:
            raise PrometheusError(
                f"Prometheus at {url} has no target {wanted} in that time",
                hint=f"it has {_listed(seen)}; was the target renamed?",
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
            hint=f"choose one: --prometheus-target {_shortest_name(last, rivals)}",
        )
    return last, [*_earlier(seen, last), *_later(others, last, seen[last][1])]


def _earlier(
    seen: Mapping[PrometheusTarget, tuple[float, float]], last: PrometheusTarget
) -> list[str]:
    return [
        f"an earlier target, {target}, has ended; show it with --prometheus-target {target}"
        for target in seen
        if target != last
    ]


def _later(
    others: Mapping[PrometheusTarget, tuple[float, float]], chosen: PrometheusTarget, ended: float
) -> list[str]:
    return [
        f"{chosen} has ended, and {target} began after it; was it renamed?"
        for target, (began, _) in others.items()
        if began >= ended
    ]


def _shortest_name(target: PrometheusTarget, others: Sequence[PrometheusTarget]) -> str:
    """The first name of ``target`` that none of the others has."""
    taken = {name for other in others for name in other.names}
    return next((name for name in target.names if name and name not in taken), str(target))


def _listed(
    many: Mapping[PrometheusTarget, tuple[float, float]] | Sequence[PrometheusTarget],
) -> str:
    return ", ".join(sorted(map(str, many)))


# ---------------------------------------------------------------- samples


def _points(
    server: Prometheus, target: PrometheusTarget, end: float, since: float
) -> tuple[list[Point], float | None]:
    """Points every STEP. If the time is long, the step is larger except in its last hour."""
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
    server: Prometheus, target: PrometheusTarget, begin: float, end: float, step: float
) -> tuple[list[Point], float | None]:
    """Points every ``step``. ``last_over_time`` covers just one step, because a plain selector would
    fill gaps of up to five minutes with the last sample."""
    # Counted back from the end, so that the last point is at the end.
    first = end - math.floor((end - begin) / step) * step
    query = (
        f"sum by (__name__) (max by (__name__, {_OWN_LABELS})"
        f' (last_over_time({{__name__=~"{"|".join(ALL)}",{target.selector}}}[{_just_under(step)}])))'
    )
    found = server.range(query, first, end, step)
    named = {each.labels.get("__name__", ""): dict(each.samples) for each in found}
    times = sorted({at for name, samples in named.items() if name != LIMIT for at in samples})
    limits = list(named.get(LIMIT, {}).values())
    points = [_point(named, at) for at in times]
    known = [point for point in points if any(value is not None for value in point[1:])]
    return known, limits[-1] if limits else None


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
    server: Prometheus, target: PrometheusTarget, begin: float, end: float
) -> dict[str, Sequence[tuple[float, float]]]:
    step = max(STEP, math.ceil((end - begin) / LOCATION_POINTS))
    query = f"max by (location) (last_over_time({LIVE}{{{target.selector}}}[{_just_under(step)}]))"
    first = end - math.floor((end - begin) / step) * step
    found = server.range(query, first, end, step)
    return {each.labels.get("location", "unknown"): each.samples for each in found}


def _just_under(step: float) -> str:
    """One step as a duration, less a millisecond: a range includes both ends, and a sample at the border
    would count twice."""
    return f"{step * 1_000 - 1:.0f}ms"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
