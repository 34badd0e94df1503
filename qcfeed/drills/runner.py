"""Runs drills: one at a time, for a limited time, and with complete cleanup."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from qcfeed.control.audit import AuditedAction, AuditLog, Caller
from qcfeed.drills.base import DrillEnvironment, Fault
from qcfeed.drills.catalog import ConfiguredDrill
from qcfeed.drills.faults import FAULTS
from qcfeed.errors import NotAllowedError, UsageError

log = logging.getLogger("qcfeed.drill")

MAX_DURATION = 86_400.0
"""The longest duration of a drill, in seconds."""

SERVICE_CALLER = Caller("service")
"""The caller in the audit log for actions that nobody requested over the control plane."""


@dataclass(slots=True)
class RunningDrill:
    """The running drill. ``started_at`` and ``ends_at`` are in loop time."""

    configured: ConfiguredDrill
    drill: Fault
    started_at: float
    ends_at: float
    timer: asyncio.TimerHandle


class DrillRunner:
    """Starts and stops drills. Call it in the service's loop; ``active`` may be read from any thread.

    The control plane audits the requests it receives. What the service does by itself is audited here:
    starting the drill of ``--drill``, and ending one when its time is over or the service stops.
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
        """Start a drill, which ends by itself after ``duration`` seconds (default: the drill's own).

        Raises UsageError while another drill is running, or for an invalid duration.
        """
        if self.active is not None:
            raise UsageError(
                f"the drill {self.active.configured} is running; only one can run at a time",
                hint="`qcfeed drill stop` ends it",
            )
        duration = configured.spec.duration if duration is None else duration
        if not 0 < duration <= MAX_DURATION:
            raise UsageError(
                f"a drill cannot last {duration:,.1f} s: the maximum is {MAX_DURATION:,.0f} s"
            )
        drill = FAULTS[configured.spec.name](self._environment, configured.number)
        drill.start()
        timer = self._environment.loop.call_later(duration, self._expire)
        self.active = RunningDrill(configured, drill, self.now, self.now + duration, timer)
        log.warning("DRILL %s: %s; for at most %g s", configured, configured.spec.breaks, duration)
        return self.active

    def start_audited(self, configured: ConfiguredDrill, duration: float | None) -> None:
        """Like ``start``, for ``--drill``. Raises NotAllowedError if the audit log cannot be written."""
        request = {"drill": str(configured), "for_s": duration, "why": "--drill"}
        entry = self._audit.intend("drill start", SERVICE_CALLER, request)
        self.start(configured, duration)
        self._audit.conclude(entry, "done")

    async def stop(self) -> ConfiguredDrill | None:
        """End the running drill, wait for its cleanup, and return it; None if none is running."""
        return await self._end_and_wait(None)

    async def shut_down(self) -> None:
        """Like ``stop``, when the service stops."""
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
        """``why``: the reason in the audit log; None if the control plane audits the request."""
        active.timer.cancel()
        entry = None if why is None else await asyncio.to_thread(self._intend, active, why)
        outcome = "done"
        try:
            await active.drill.stop()
            log.warning("DRILL %s: ended, and cleaned up", active.configured)
        except Exception:
            outcome = "failed"
            log.exception("DRILL %s: cleanup failed; restart the service", active.configured)
        finally:
            if entry is not None:
                await asyncio.to_thread(self._audit.conclude, entry, outcome)
            self.active = self._ending = None

    def _intend(self, active: RunningDrill, why: str) -> AuditedAction | None:
        """Audit the end of a drill. If that fails, say because the disk is full, it ends all the same."""
        try:
            return self._audit.intend(
                "drill stop", SERVICE_CALLER, {"drill": str(active.configured), "why": why}
            )
        except NotAllowedError as error:
            log.warning("DRILL %s: cannot audit its end: %s", active.configured, error)
            return None
