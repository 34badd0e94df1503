"""The drill that is on: one at a time, for a bounded time, and put back wholly."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from qcfeed.control.audit import AuditLog, Caller, Entry
from qcfeed.drills.base import Drill, DrillEnvironment
from qcfeed.drills.catalog import ConfiguredDrill
from qcfeed.errors import NotAllowedError, UsageError

log = logging.getLogger("qcfeed.drill")

MAX_DURATION = 86_400.0
"""Seconds that a drill may be asked to last."""

SERVICE_CALLER = Caller("service")
"""Who acted, in the audit log, where nobody asked over the control plane."""


@dataclass(slots=True)
class RunningDrill:
    """A drill that is on. ``started_at`` and ``ends_at`` are in loop time."""

    configured: ConfiguredDrill
    drill: Drill
    started_at: float
    ends_at: float
    timer: asyncio.TimerHandle


class DrillRunner:
    """Starts and ends_at drills. In the service's loop; ``active`` may be read from any thread.

    What somebody asks over the control plane is in the audit log by that; what the service does by
    itself is written here: a drill that it starts with, one whose time is over, one that it leaves with.
    """

    def __init__(self, environment: DrillEnvironment, audit: AuditLog) -> None:
        self._environment = environment
        self._audit = audit
        self._ending: asyncio.Task[None] | None = None
        self.active: RunningDrill | None = None

    @property
    def now(self) -> float:
        return self._environment.loop.time()

    def start(self, configured: ConfiguredDrill, duration: float | None = None) -> RunningDrill:
        """Begin a drill, which ends_at by itself after ``duration`` seconds, or its own time.

        Raises UsageError while another is on, or for a time that is none.
        """
        if self.active is not None:
            raise UsageError(
                f"the drill {self.active.configured} is on, and there is one at a time",
                hint="`qcfeed drill stop` ends_at it",
            )
        duration = configured.spec.duration if duration is None else duration
        if not 0 < duration <= MAX_DURATION:
            raise UsageError(f"a drill duration up to {MAX_DURATION:,.0f} s, not {duration:,.1f} s")
        drill = configured.spec.factory(self._environment, configured.number)
        drill.start()
        timer = self._environment.loop.call_later(duration, self._expire)
        self.active = RunningDrill(configured, drill, self.now, self.now + duration, timer)
        log.warning("DRILL %s: %s; for %g s at most", configured, configured.spec.breaks, duration)
        return self.active

    def start_audited(self, configured: ConfiguredDrill, duration: float | None) -> None:
        """As ``start``, for the command line. Raises NotAllowedError when it cannot be written down."""
        request = {"drill": str(configured), "for_s": duration, "why": "--drill"}
        entry = self._audit.intend("drill start", SERVICE_CALLER, request)
        self.start(configured, duration)
        self._audit.conclude(entry, "done")

    async def stop(self) -> ConfiguredDrill | None:
        """End the drill and wait until nothing of it is left; which it was."""
        return await self._end_and_wait(None)

    async def shut_down(self) -> None:
        """As ``stop``, for a service that ends_at."""
        await self._end_and_wait("the service stops")

    async def _end_and_wait(self, why: str | None) -> ConfiguredDrill | None:
        active = self.active
        if active is None:
            return None
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(active, why), name="drill end")
        await asyncio.shield(self._ending)
        return active.configured

    def _expire(self) -> None:
        if self.active is not None and self._ending is None:
            log.warning("DRILL %s: its time is over", self.active.configured)
            self._ending = asyncio.create_task(
                self._end(self.active, "its time is over"), name="drill end"
            )

    async def _end(self, active: RunningDrill, why: str | None) -> None:
        """``why``: what the audit log says of an end that nobody asked for."""
        active.timer.cancel()
        entry = None if why is None else await asyncio.to_thread(self._intend, active, why)
        outcome = "done"
        try:
            await active.drill.stop()
            log.warning("DRILL %s: ended, nothing of it is left", active.configured)
        except Exception:
            outcome = "failed"
            log.exception(
                "DRILL %s: it did not end as it should; restart the service", active.configured
            )
        finally:
            if entry is not None:
                await asyncio.to_thread(self._audit.conclude, entry, outcome)
            self.active = self._ending = None

    def _intend(self, active: RunningDrill, why: str) -> Entry | None:
        """A disk that is full must not keep a service broken: the drill ends_at all the same."""
        try:
            return self._audit.intend(
                "drill stop", SERVICE_CALLER, {"drill": str(active.configured), "why": why}
            )
        except NotAllowedError as error:
            log.warning("DRILL %s: its end is not in the audit log: %s", active.configured, error)
            return None
