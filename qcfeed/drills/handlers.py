"""The control plane's handlers for drills."""

from __future__ import annotations

from collections.abc import Sequence

from qcfeed.control import audit, routes
from qcfeed.control.routes import NoQuery, Route
from qcfeed.drills.catalog import described, parse
from qcfeed.drills.runner import DrillRunner, RunningDrill
from qcfeed.errors import NotAllowedError
from qcfeed.model.drills import (
    ActiveDrill,
    Drills,
    DrillStarted,
    DrillStopped,
    StartDrillRequest,
    StopDrillRequest,
)


class DrillHandlers:
    """The routes for drills. ``runner`` is None if the service does not allow drills."""

    def __init__(self, runner: DrillRunner | None) -> None:
        self._runner = runner

    def routes(self) -> Sequence[Route]:
        return [
            routes.ReadRoute(routes.DRILLS, routes.NoQuery, self.drills),
            routes.ActionRoute(routes.DRILLS_START, "drill start", StartDrillRequest, self.start),
            routes.ActionRoute(routes.DRILLS_STOP, "drill stop", StopDrillRequest, self.stop),
        ]

    def drills(self, _: NoQuery) -> Drills:
        runner = self._runner
        active = None if runner is None else runner.active
        return Drills(
            allowed=runner is not None,
            active=None if runner is None or active is None else _active(active, runner.now),
            drills=described(),
        )

    async def start(self, request: StartDrillRequest) -> DrillStarted:
        runner = self._allowed()
        active = runner.start(parse(request.drill), request.for_s)
        return DrillStarted(active=_active(active, runner.now))

    async def stop(self, _: StopDrillRequest) -> DrillStopped:
        runner = self._allowed()
        audit.note(before=None if runner.active is None else str(runner.active.configured))
        ended = await runner.stop()
        return DrillStopped(stopped=None if ended is None else str(ended))

    def _allowed(self) -> DrillRunner:
        if self._runner is None:
            raise NotAllowedError(
                "this service does not allow drills",
                hint="start a test service with `qcfeed serve --allow-drills`; never in production",
            )
        return self._runner


def _active(active: RunningDrill, now: float) -> ActiveDrill:
    return ActiveDrill(
        drill=str(active.configured),
        name=active.configured.spec.name,
        active_s=max(0.0, now - active.started_at),
        left_s=max(0.0, active.ends_at - now),
        alert_names=list(active.configured.spec.alerts),
        shows=active.configured.spec.shows,
    )
