"""What the control plane tells and does about drills."""

from __future__ import annotations

from collections.abc import Sequence

from qcfeed.control import audit, routes
from qcfeed.drills.active import Active, Board
from qcfeed.drills.catalog import KINDS, Kind, parse
from qcfeed.errors import NotAllowedError
from qcfeed.model.drills import (
    ActiveDrill,
    Drill,
    Drills,
    DrillStarted,
    DrillStopped,
    StartDrillRequest,
    StopDrillRequest,
)


class DrillViews:
    """The routes about drills. ``board``: None in a service that does not allow any."""

    def __init__(self, board: Board | None) -> None:
        self._board = board

    def table(self) -> Sequence[routes.Route]:
        return [
            routes.Read(routes.DRILLS, routes.NoQuery, self.drills),
            routes.Action(routes.DRILLS_START, "drill start", StartDrillRequest, self.start),
            routes.Action(routes.DRILLS_STOP, "drill stop", StopDrillRequest, self.stop),
        ]

    def drills(self, _: routes.NoQuery) -> Drills:
        board = self._board
        active = None if board is None else board.active
        return Drills(
            allowed=board is not None,
            active=None if board is None or active is None else _active(active, board.now),
            drills=[_drill(kind) for kind in KINDS],
        )

    async def start(self, request: StartDrillRequest) -> DrillStarted:
        board = self._allowed()
        active = board.start(parse(request.drill), request.for_s)
        return DrillStarted(active=_active(active, board.now))

    async def stop(self, _: StopDrillRequest) -> DrillStopped:
        board = self._allowed()
        audit.note(before=None if board.active is None else str(board.active.order))
        ended = await board.stop()
        return DrillStopped(stopped=None if ended is None else str(ended))

    def _allowed(self) -> Board:
        if self._board is None:
            raise NotAllowedError(
                "this service does not allow drills",
                hint="a service that may be broken: `qcfeed serve --allow-drills`; never in production",
            )
        return self._board


def _drill(kind: Kind) -> Drill:
    return Drill(
        name=kind.name,
        breaks=kind.breaks,
        alert_names=list(kind.alerts),
        shows=kind.shows,
        number=kind.number,
        default_number=None if kind.number is None else kind.usual,
        duration_s=kind.lasts,
    )


def _active(active: Active, now: float) -> ActiveDrill:
    return ActiveDrill(
        drill=str(active.order),
        name=active.order.kind.name,
        active_s=max(0.0, now - active.began),
        left_s=max(0.0, active.ends - now),
        alert_names=list(active.order.kind.alerts),
        shows=active.order.kind.shows,
    )
