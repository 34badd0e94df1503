"""The drill that is on: one at a time, for a bounded time, and put back wholly."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from qcfeed.errors import UsageError
from qcfeed.service.drills.kinds import Order
from qcfeed.service.drills.stage import Drill, Stage

log = logging.getLogger("qcfeed.drill")

LONGEST = 86_400.0
"""Seconds that a drill may be asked to last."""


@dataclass(slots=True)
class Active:
    """A drill that is on. ``began`` and ``ends`` are in loop time."""

    order: Order
    drill: Drill
    began: float
    ends: float
    timer: asyncio.TimerHandle


class Board:
    """Starts and ends drills. In the service's loop; ``active`` may be read from any thread."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ending: asyncio.Task[None] | None = None
        self.active: Active | None = None

    @property
    def now(self) -> float:
        return self._stage.loop.time()

    def start(self, order: Order, lasts: float | None = None) -> Active:
        """Begin a drill, which ends by itself after ``lasts`` seconds, or its own time.

        Raises UsageError while another is on, or for a time that is none.
        """
        if self.active is not None:
            raise UsageError(
                f"the drill {self.active.order} is on, and there is one at a time",
                hint="`qcfeed drill stop` ends it",
            )
        lasts = order.kind.lasts if lasts is None else lasts
        if not 0 < lasts <= LONGEST:
            raise UsageError(f"a drill lasts up to {LONGEST:,.0f} s, not {lasts:,.1f} s")
        drill = order.kind.make(self._stage, order.number)
        drill.start()
        timer = self._stage.loop.call_later(lasts, self._expire)
        self.active = Active(order, drill, self.now, self.now + lasts, timer)
        log.warning("DRILL %s: %s; for %g s at most", order, order.kind.breaks, lasts)
        return self.active

    async def stop(self) -> Order | None:
        """End the drill and wait until nothing of it is left; which it was."""
        active = self.active
        if active is None:
            return None
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(active), name="drill end")
        await asyncio.shield(self._ending)
        return active.order

    def _expire(self) -> None:
        if self.active is not None and self._ending is None:
            log.warning("DRILL %s: its time is over", self.active.order)
            self._ending = asyncio.create_task(self._end(self.active), name="drill end")

    async def _end(self, active: Active) -> None:
        active.timer.cancel()
        try:
            await active.drill.stop()
            log.warning("DRILL %s: ended, nothing of it is left", active.order)
        except Exception:
            log.exception(
                "DRILL %s: it did not end as it should; restart the service", active.order
            )
        finally:
            self.active = self._ending = None
