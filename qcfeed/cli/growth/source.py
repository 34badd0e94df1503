"""The samples for ``qcfeed growth``: from Prometheus, or from the last hour that the service remembers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import typer

from qcfeed import rfc3339
from qcfeed.cli.context import ask, options
from qcfeed.cli.prometheus import FLAG, not_with_file
from qcfeed.cli.saved_files import read, schema_of
from qcfeed.config import PrometheusConfig
from qcfeed.config.loading import Loaded
from qcfeed.control.routes import HISTORY
from qcfeed.errors import NotFoundError, PrometheusError, QcfeedError, UnreachableError, UsageError
from qcfeed.formats import age
from qcfeed.metrics.claims import Claim
from qcfeed.metrics.growth import Point
from qcfeed.metrics.growth_answer import point
from qcfeed.metrics.saved_timeline import restored
from qcfeed.metrics.timeline import Timeline, caveats
from qcfeed.model.history import History
from qcfeed.model.prometheus_history import PrometheusHistory
from qcfeed.observe.bundle import PROMETHEUS_HISTORY

HOUR = 3_600.0
_FROM_FILE = "the service's own history, at most one hour"
_NO_PROMETHEUS = (
    "no Prometheus configured (--prometheus): showing the service's own history, at most one hour"
)


def timeline(
    ctx: typer.Context,
    settings: Loaded[PrometheusConfig],
    at: float | None,
    since: float,
    source: Path | None = None,
) -> tuple[Timeline, Sequence[Claim]]:
    """The samples, and the growth rates that alerts claimed at the time.

    From the file ``source`` if given, else from Prometheus if one is configured. If it fails, from the
    service's own history, with the reason in ``missing``; but a Prometheus given as a flag has no
    fallback: its error is raised.
    """
    if source is not None:
        if settings.origins["prometheus"] == FLAG:
            raise not_with_file()
        return _from_file(source, at, since)
    if not settings.config.prometheus:
        try:
            return from_service(ctx, at, since, _NO_PROMETHEUS), ()
        except UnreachableError as error:
            error.hint = f"{error.hint}; or give --prometheus" if error.hint else None
            raise
    try:
        return _from_prometheus(ctx, settings.config, at, since)
    except PrometheusError as error:
        if settings.origins["prometheus"] == FLAG:
            raise
        reason = f"{error.message}; showing the service's own history, at most one hour"
        try:
            return from_service(ctx, at, since, reason), ()
        except QcfeedError:
            raise error from None


def _from_file(source: Path, at: float | None, since: float) -> tuple[Timeline, Sequence[Claim]]:
    """What Prometheus said, if the file is a bundle that has it, else the service's own history."""
    note = _FROM_FILE
    if not schema_of(source).startswith("qcfeed.history/"):
        try:
            kept, _ = read(source, PROMETHEUS_HISTORY, PrometheusHistory)
        except NotFoundError:
            pass
        except UsageError as error:
            note = f"{error.message}; {_FROM_FILE}"
        else:
            samples, claims = restored(kept, at, since)
            if samples.points:
                return samples, claims
            note = f"Prometheus' history in the file has no sample of that time; {_FROM_FILE}"
    history, _ = read(source, HISTORY, History)
    return _of_history(history, at, since, note), ()


def _from_prometheus(
    ctx: typer.Context, settings: PrometheusConfig, at: float | None, since: float
) -> tuple[Timeline, Sequence[Claim]]:
    # Imported here: it takes 100 ms, which is not needed without Prometheus.
    from qcfeed.metrics import alerts, prometheus_history
    from qcfeed.metrics.prometheus import Prometheus

    server = Prometheus(settings, timeout=options(ctx).timeout)
    samples = prometheus_history.of(server, settings.prometheus_target, at, since)
    try:
        return samples, alerts.claimed(server, samples.target, samples.at)
    except PrometheusError as error:
        missing = [*samples.missing, f"claims of alerts: {error.message}"]
        return samples._replace(missing=missing), ()


def from_service(ctx: typer.Context, at: float | None, since: float, reason: str) -> Timeline:
    """The history that the service, or an attached program, keeps of itself.

    ``reason``: why it is not from Prometheus, the first note in ``missing``. Raises UnreachableError
    if the history does not cover the time, and what ControlClient does.
    """
    now = time.time()
    back = since if at is None else since + now - at
    try:
        history, _ = ask(ctx, HISTORY, History, since_s=min(back, HOUR))
    except NotFoundError as error:
        raise UnreachableError(
            "the service is an older version, which keeps no history",
            hint="restart it with this version",
        ) from error
    return _of_history(history, at, since, reason)


def _of_history(history: History, at: float | None, since: float, reason: str) -> Timeline:
    """The points of the history in ``since`` seconds until ``at``, by default all until it was taken."""
    end = rfc3339.unix(history.taken_at) if at is None else at
    points = [each for each in map(point, history.points) if end - since <= each.at <= end]
    if not points:
        raise UnreachableError(
            f"{history.instance} has no history of {rfc3339.seconds(end)}: {_coverage(history)}",
            hint="a service keeps at most one hour",
        )
    notes = [reason, *caveats(points, history.limit_bytes, end)]
    locations = _locations(history, points) if at is None else {}
    if at is not None:
        notes.append("spawn locations: the service knows only their current counts")
    return Timeline(
        at=end,
        source="service",
        target=history.instance,
        points=points,
        limit=float(history.limit_bytes),
        locations=locations,
        missing=notes,
    )


def _coverage(history: History) -> str:
    if not history.points:
        return "it has not taken its first sample yet"
    first, last = history.points[0].at, history.points[-1].at
    return f"it covers {age(rfc3339.unix(last) - rfc3339.unix(first))}, since {first}"


def _locations(history: History, points: Sequence[Point]) -> dict[str, list[tuple[float, float]]]:
    begin = (
        points[0].at if history.locations_since is None else rfc3339.unix(history.locations_since)
    )
    end = max(begin, points[-1].at)
    return {
        each.location: [(begin, each.live_before), (end, each.live)] for each in history.locations
    }
