"""The drill that is on: one at a time, for a bounded time, and put back wholly."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from qcfeed.control.audit import AuditLog, Caller, Entry
from qcfeed.drills.base import Drill, Stage
from qcfeed.drills.catalog import Order
from qcfeed.errors import NotAllowedError, UsageError

log = logging.getLogger("qcfeed.drill")

LONGEST = 86_400.0
"""Seconds that a drill may be asked to last."""

ITSELF = Caller("service")
"""Who acted, in the audit log, where nobody asked over the control plane."""


@dataclass(slots=True)
class Active:
    """A drill that is on. ``began`` and ``ends`` are in loop time."""

    order: Order
    drill: Drill
    began: float
    ends: float
    timer: asyncio.TimerHandle


class Board:
    """Starts and ends drills. In the service's loop; ``active`` may be read from any thread.

    What somebody asks over the control plane is in the audit log by that; what the service does by
    itself is written here: a drill that it starts with, one whose time is over, one that it leaves with.
    """

    def __init__(self, stage: Stage, audit: AuditLog) -> None:
        self._stage = stage
        self._audit = audit
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

    def begin(self, order: Order, lasts: float | None) -> None:
        """As ``start``, for the command line. Raises NotAllowedError when it cannot be written down."""
        request = {"drill": str(order), "for_s": lasts, "why": "--drill"}
        entry = self._audit.intend("drill start", ITSELF, request)
        self.start(order, lasts)
        self._audit.conclude(entry, "done")

    async def stop(self) -> Order | None:
        """End the drill and wait until nothing of it is left; which it was."""
        return await self._ended(None)

    async def leave(self) -> None:
        """As ``stop``, for a service that ends."""
        await self._ended("the service stops")

    async def _ended(self, why: str | None) -> Order | None:
        active = self.active
        if active is None:
            return None
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(active, why), name="drill end")
        await asyncio.shield(self._ending)
        return active.order

    def _expire(self) -> None:
        if self.active is not None and self._ending is None:
            log.warning("DRILL %s: its time is over", self.active.order)
            self._ending = asyncio.create_task(
                self._end(self.active, "its time is over"), name="drill end"
            )

    async def _end(self, active: Active, why: str | None) -> None:
        """``why``: what the audit log says of an end that nobody asked for."""
        active.timer.cancel()
        entry = None if why is None else await asyncio.to_thread(self._intend, active, why)
        outcome = "done"
        try:
            await active.drill.stop()
            log.warning("DRILL %s: ended, nothing of it is left", active.order)
        except Exception:
            outcome = "failed"
            log.exception(
                "DRILL %s: it did not end as it should; restart the service", active.order
            )
        finally:
            if entry is not None:
                await asyncio.to_thread(self._audit.conclude, entry, outcome)
            self.active = self._ending = None

    def _intend(self, active: Active, why: str) -> Entry | None:
        """A disk that is full must not keep a service broken: the drill ends all the same."""
        try:
            return self._audit.intend(
                "drill stop", ITSELF, {"drill": str(active.order), "why": why}
            )
        except NotAllowedError as error:
            log.warning("DRILL %s: its end is not in the audit log: %s", active.order, error)
            return None
