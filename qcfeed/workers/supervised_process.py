"""One process of the group through all its lives."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from qcfeed.errors import ConfigError, ExitStatus, QcfeedError, StartError
from qcfeed.supervised import REQUESTED
from qcfeed.workers.checks import HealthCheck
from qcfeed.workers.child_process import ChildProcess
from qcfeed.workers.health import WorkerHealth
from qcfeed.workers.restarts import Restarts, describe_exit

log = logging.getLogger("qcfeed.workers")

Launch = Callable[[], Awaitable[ChildProcess]]
StandBy = Callable[[], Awaitable["Successor"]]


class Successor(NamedTuple):
    """A process that stands by. ``take_over`` returns it when it is ready, which it is after its predecessor's end."""

    child: ChildProcess
    take_over: Launch


RUNNING = ("ready", "stuck")
"""The states of a process that has started and has not been asked to end."""


class SupervisedProcess:
    """Keeps one process running. ``launch`` starts it and returns when it is ready, or raises StartError.

    ``stand_by`` starts a successor that gets ready beside the running process; without it, a restart ends the
    process first. ``check`` asks whether it is well. One that is stuck for ``stuck_limit`` seconds is killed, and so
    starts again; 0: it is only named.
    """

    def __init__(
        self,
        name: str,
        role: str,
        launch: Launch,
        check: HealthCheck,
        stuck_limit: float,
        stand_by: StandBy | None = None,
    ) -> None:
        self.name = name
        self.role = role
        self.state = "starting"
        self.restarts = Restarts()
        self.problem: str | None = None
        self.ready_at = 0.0
        """``time.monotonic()`` when it was last ready."""
        self._launch = launch
        self._stand_by = stand_by
        self._successor: Successor | None = None
        self._ends = False
        """Whether it is ended for good."""
        self._check = check
        self._stuck_limit = stuck_limit
        self._killed_for: str | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._child: ChildProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child is not None and child.status is None else None

    @property
    def up_s(self) -> float:
        return time.monotonic() - self.ready_at if self.state in RUNNING else 0.0

    async def start(self) -> None:
        """Start it for the first time, and keep it running from then on. Raises StartError."""
        await self._start()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")
        self._watcher = asyncio.create_task(self._watch(), name=f"check {self.name}")

    async def restart(self, drain: float) -> None:
        """End it within ``drain`` seconds, or kill it, and wait until it is ready again. Raises StartError."""
        child = self._child
        if child is None or child.status is not None:
            raise StartError(f"{self.name} does not run now: {self.problem}")
        if self._stand_by is not None:
            await self._await_successor(self._stand_by, child)
        self._set("stopping")
        await child.end(drain)
        while self.state in ("stopping", "starting"):
            self._changed.clear()
            await self._changed.wait()
        if self.state != "ready":
            raise StartError(f"{self.name} did not come back: {self.problem}")

    async def stop(self, drain: float) -> int:
        """End it for good: its return code. It is killed after ``drain`` seconds."""
        self._ends = True
        # First, because the keeper would start the process again.
        for task in (self._watcher, self._keeper):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        self._set("stopping")
        if self._successor is not None:
            await self._successor.child.kill()
        status = 0 if self._child is None else await self._child.end(drain)
        self._set("ended")
        return status

    async def _await_successor(self, stand_by: StandBy, child: ChildProcess) -> None:
        """Have a successor of ``child`` that stands by. Raises StartError, and nothing changes."""
        successor = await stand_by()
        if self._ends or self._child is not child or child.status is not None:
            # The keeper starts it again, or it is ended for good: nobody would end the successor.
            await successor.child.kill()
            raise StartError(f"{self.name} has ended meanwhile: {self.problem or 'on request'}")
        self._successor = successor
        log.info("%s has a successor (pid %s), which stands by", self.name, successor.child.pid)

    async def _start(self) -> None:
        self._set("starting")
        successor, self._successor = self._successor, None
        self._child = await (self._launch if successor is None else successor.take_over)()
        self.ready_at = time.monotonic()
        self._set("ready")

    async def _keep(self) -> None:
        while (child := self._child) is not None:
            status = await child.wait()
            planned = self.state == "stopping"
            stuck, self._killed_for = self._killed_for, None
            self.problem = None if planned else stuck or describe_exit(status)
            pause = self.restarts.ended(
                float("inf") if planned else time.monotonic() - self.ready_at,
                random.random(),
                REQUESTED if planned else "stuck" if stuck else "ended",
            )
            while not await self._start_again(0.0 if planned else pause):
                planned = False
                pause = self.restarts.ended(0.0, random.random())

    async def _watch(self) -> None:
        """Check the process while it runs, with a new ``WorkerHealth`` after each restart."""
        while True:
            health, child = WorkerHealth(self._stuck_limit), self._child
            while self._child is child and self.state in RUNNING:
                await self._check_once(health)
                await asyncio.sleep(check_interval(self._stuck_limit))
            await asyncio.sleep(check_interval(self._stuck_limit))

    async def _check_once(self, health: WorkerHealth) -> None:
        sent_at, child = time.monotonic(), self._child
        stack: tuple[str, ...] = ()
        try:
            report = await self._check()
        except (QcfeedError, TimeoutError, OSError):
            health.silent(sent_at, "it does not answer")
        else:
            stack = report.stack
            health.answered(time.monotonic(), report.stalled_for)
        # The answer may have come from an earlier life, or the process is being stopped by now.
        if self._child is child and self.state in RUNNING:
            self._judge(health, stack)

    def _judge(self, health: WorkerHealth, stack: Sequence[str]) -> None:
        """Name a stuck process, and kill it when its time is up."""
        now = time.monotonic()
        if not health.stuck_for(now):
            if self.state == "stuck":
                log.info("%s is no longer stuck", self.name)
                self.problem = None
                self._set("ready")
            return
        self.problem = health.describe(now)
        if self.state == "ready":
            log.warning("%s is stuck: %s%s", self.name, self.problem, _shown(stack))
            self._set("stuck")
        if health.overdue(now) and self._child is not None:
            self._killed_for = f"was stuck ({self.problem}), and was killed"
            # Not SIGTERM, whose handler runs in the loop that is stuck.
            self._child.signal(signal.SIGKILL)

    async def _start_again(self, pause: float) -> bool:
        """Start it after a pause; False if that failed."""
        if pause:
            self._set("waiting")
            log.warning("%s %s; it starts again in %.1f s", self.name, self.problem, pause)
            await asyncio.sleep(pause)
        try:
            await self._start()
        except QcfeedError as error:
            self.problem = f"did not start: {error.message}"
            return False
        log.info("%s runs again (pid %s)", self.name, self.pid)
        return True

    def _set(self, state: str) -> None:
        self.state = state
        self._changed.set()


def check_interval(stuck_limit: float) -> float:
    """Seconds between two checks."""
    return min(2.0, stuck_limit / 8) if stuck_limit else 2.0


def _shown(stack: Sequence[str]) -> str:
    return "".join(f"\n{line}" for line in stack)


def start_error(name: str, status: int, lines: list[str]) -> QcfeedError:
    """The error with which a process ended before it was ready, taken from its last lines."""
    written = [line for line in lines if line.strip()]
    at = max((n for n, line in enumerate(written) if "error: " in line), default=None)
    kind = ConfigError if status == ExitStatus.USAGE else StartError
    if at is None:
        return kind(f"{name} did not start, it {describe_exit(status)}: {' / '.join(written[-3:])}")
    hints = [line.partition("hint: ")[2] for line in written[at + 1 :] if "hint: " in line]
    return kind(
        f"{name} did not start: {written[at].partition('error: ')[2]}",
        hint=hints[0] if hints else None,
    )
