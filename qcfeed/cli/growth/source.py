"""Where ``qcfeed growth`` has its samples from: Prometheus, or the service's own last hour."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

import typer

from qcfeed.cli.context import ask, options
from qcfeed.cli.prometheus import FLAG
from qcfeed.config import Loaded, PrometheusConfig
from qcfeed.control.routes import HISTORY
from qcfeed.errors import NotFoundError, PrometheusError, QcfeedError, UnreachableError
from qcfeed.formats import age
from qcfeed.metrics.claims import Claim
from qcfeed.metrics.growth import Point
from qcfeed.metrics.growth_answer import stamp
from qcfeed.metrics.timeline import Timeline, caveats
from qcfeed.model.history import History, HistoryPoint

HOUR = 3_600.0
_UNNAMED = (
    "no Prometheus was named (--prometheus): this is what the service remembers, an hour at most"
)


def timeline(
    ctx: typer.Context, named: Loaded[PrometheusConfig], at: float | None, since: float
) -> tuple[Timeline, Sequence[Claim]]:
    """The samples, and what alerts said then.

    Prometheus, if one is named. When it fails, the service's memory instead, and why in
    ``missing``; but whoever named it as a flag asked for nothing else, and gets the error.
    """
    if not named.config.prometheus:
        try:
            return remembered(ctx, at, since, _UNNAMED), ()
        except UnreachableError as error:
            error.hint = f"{error.hint}; or name a --prometheus" if error.hint else None
            raise
    try:
        return _asked(ctx, named.config, at, since)
    except PrometheusError as error:
        if named.origins["prometheus"] == FLAG:
            raise
        why = f"{error.message}; this is what the service remembers, an hour at most"
        try:
            return remembered(ctx, at, since, why), ()
        except QcfeedError:
            raise error from None


def _asked(
    ctx: typer.Context, named: PrometheusConfig, at: float | None, since: float
) -> tuple[Timeline, Sequence[Claim]]:
    # 100 ms of import, for those who have a Prometheus to ask.
    from qcfeed.metrics import alerts, prometheus_history
    from qcfeed.metrics.prometheus import Prometheus

    server = Prometheus(named, timeout=options(ctx).timeout)
    told = prometheus_history.of(server, named.prometheus_target, at, since)
    try:
        return told, alerts.claimed(server, told.target, told.at)
    except PrometheusError as error:
        return told._replace(missing=[*told.missing, f"what alerts said: {error.message}"]), ()


def remembered(ctx: typer.Context, at: float | None, since: float, why: str) -> Timeline:
    """What the service, or a program that is attached, remembers of itself.

    Raises UnreachableError when it remembers nothing of that time, and what ControlClient does.
    """
    now = time.time()
    back = since if at is None else since + now - at
    try:
        told, _ = ask(ctx, HISTORY, History, since_s=min(back, HOUR))
    except NotFoundError as error:
        raise UnreachableError(
            "the service is of a version that remembers no history",
            hint="restart it with this version",
        ) from error
    end = _unix(told.taken_at) if at is None else at
    points = [each for each in map(point, told.points) if each.at <= end]
    if not points:
        raise UnreachableError(
            f"{told.instance} remembers nothing of {stamp(end)}: {_remembers(told)}",
            hint="an hour is the most it can",
        )
    notes = [why, *caveats(points, told.limit_bytes, end)]
    locations = _locations(told, points) if at is None else {}
    if at is not None:
        notes.append("spawn locations: the service knows them now, not as they were then")
    return Timeline(
        at=end,
        source="service",
        target=told.instance,
        points=points,
        limit=float(told.limit_bytes),
        locations=locations,
        missing=notes,
    )


def _remembers(told: History) -> str:
    if not told.points:
        return "its first sample is still to come"
    first, last = told.points[0].at, told.points[-1].at
    return f"it has {age(_unix(last) - _unix(first))}, since {first}"


def _locations(told: History, points: Sequence[Point]) -> dict[str, list[tuple[float, float]]]:
    begin = points[0].at if told.locations_since is None else _unix(told.locations_since)
    end = max(begin, points[-1].at)
    return {each.location: [(begin, each.live_before), (end, each.live)] for each in told.locations}


def point(told: HistoryPoint) -> Point:
    """What the service said of one moment, for metrics/growth.py."""
    return Point(
        _unix(told.at),
        memory=told.resident_bytes,
        live=told.live,
        subscriptions=told.subscriptions,
        orphans=told.orphaned,
        feeds=told.feed_count,
        spawned=told.spawned,
    )


def _unix(stamped: str) -> float:
    return datetime.fromisoformat(stamped).timestamp()
