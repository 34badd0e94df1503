"""The group: starts its processes, keeps them running, restarts them one by one, and ends them in order.

No process outlives this one: each is killed by the kernel when this process ends without ending it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from qcfeed.config import Config
from qcfeed.errors import ExitStatus, NotFoundError, StartError, UsageError
from qcfeed.formats import printable_json, printable_lines
from qcfeed.net import listen
from qcfeed.streams import write_message
from qcfeed.workers import plan, process
from qcfeed.workers.broker import Broker, write_private
from qcfeed.workers.checks import Check, Checks
from qcfeed.workers.member import Launch, Member, start_error
from qcfeed.workers.plan import BROKER, FEEDER, Process
from qcfeed.workers.process import ChildProcess, Readiness

_START_TIMEOUT = 60.0
"""Seconds for a process to become ready."""
_GRACE = 5.0
"""Seconds beyond --drain-timeout before a process is killed."""
_BROKER_TIMEOUT = 5.0
_HELD_LINES = 100


class Supervisor:
    """All processes of one group, from ``start`` to ``stop``.

    ``directory``: for the group's files; only this user may enter it.
    """

    def __init__(
        self,
        config: Config,
        name: str,
        bound: socket.socket,
        directory: Path,
    ) -> None:
        self.name = name
        self.config = config
        self.websocket = listen.format_address(bound)
        self.members: list[Member] = []
        self.state = "serving"
        self.started_at = time.monotonic()
        self._port = bound.getsockname()[1]
        self._directory = directory
        self._readiness: dict[int, Readiness] = {}
        self._checks = Checks()
        self._rolling = asyncio.Lock()
        self._ending = False

    async def start(self) -> None:
        """Start all processes. Raises StartError or ConfigError, with nothing left running."""
        try:
            broker = await self._start_broker()
            file = self._directory / "config.toml"
            write_private(file, plan.configuration(self.config, broker.password))
            planned = plan.processes(
                self.config, self.name, self._port, broker=broker.url, file=str(file)
            )
            started = [self._add(each) for each in planned]
            async with asyncio.TaskGroup() as tasks:
                for member in started:
                    tasks.create_task(member.start(), name=f"start {member.name}")
        except BaseException as error:  # noqa: BLE001 - it is raised again
            await self.stop()
            # Of a group: the first failure has cancelled the others.
            raise (
                error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
            ) from None

    async def restart(self, names: list[str]) -> list[str]:
        """Restart these processes, or all but the NATS server, one after the other; their names.

        Raises StartError if one does not come back; the others are left as they are then.
        """
        chosen = self._chosen(names)
        if self._rolling.locked():
            raise UsageError("a restart is running already", hint="`qcfeed workers` shows it")
        async with self._rolling:
            self.state = "restarting"
            try:
                for member in chosen:
                    await member.restart(self.config.drain_timeout + _GRACE)
            finally:
                self.state = "draining" if self._ending else "serving"
        return [member.name for member in chosen]

    def _chosen(self, names: list[str]) -> list[Member]:
        known = {each.name: each for each in self.members if each.role != BROKER}
        if missing := [name for name in names if name not in known]:
            raise NotFoundError(
                f"no worker {', '.join(missing)}", hint=f"there are {', '.join(known)}"
            )
        if names:
            return [known[name] for name in names]
        # The feeder last: its successor serves gateways that have restarted already.
        return sorted(known.values(), key=lambda each: each.role == FEEDER)

    async def stop(self) -> ExitStatus:
        """Drain the gateways, then end the feeder, then the NATS server, and remove the group's files."""
        self._ending, self.state = True, "draining"
        statuses: list[int] = []
        drain = self.config.drain_timeout + _GRACE
        for roles in ((plan.GATEWAY,), (FEEDER,), (BROKER,)):
            timeout = _BROKER_TIMEOUT if BROKER in roles else drain
            ended = await asyncio.gather(
                *(each.stop(timeout) for each in self.members if each.role in roles)
            )
            statuses += [] if BROKER in roles else ended
        self._checks.close()
        for readiness in self._readiness.values():
            readiness.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        if any(status < 0 or status == ExitStatus.TIMED_OUT for status in statuses):
            return ExitStatus.TIMED_OUT
        return ExitStatus.FINDINGS if any(statuses) else ExitStatus.OK

    def _tell(self, name: str, line: str) -> None:
        write_message(named(name, line, self.config.log_format) + "\n")

    # ------------------------------------------------------------ processes

    async def _start_broker(self) -> Broker:
        name = f"{self.name}-{BROKER}"
        broker = Broker(self._directory, name, lambda line: self._tell(name, line))
        check = self._checks.of_broker(lambda: broker.port)
        await self._append(name, BROKER, broker.start, check).start()
        return broker

    def _add(self, planned: Process) -> Member:
        number = len(self.members)
        check = self._checks.of_worker(planned.name)
        return self._append(
            planned.name, planned.role, lambda: self._launch(planned, number), check
        )

    def _append(self, name: str, role: str, launch: Launch, check: Check) -> Member:
        member = Member(name, role, launch, check, self.config.worker_timeout)
        self.members.append(member)
        return member

    async def _launch(self, planned: Process, number: int) -> ChildProcess:
        """Start a process and wait until it is ready; the error that it told if it ends before."""
        path = self._directory / f"{number}.ready"
        messages = _Messages(planned.name, self._tell)
        # Open until the process is started again, because it reports its end there, too.
        with contextlib.suppress(KeyError):
            self._readiness.pop(number).close()
        readiness = self._readiness[number] = Readiness(path)
        # The readiness socket is open by now: the process reports to it from its first moment on.
        child = await process.start(
            planned.command,
            plan.environment(os.environ, str(path), self.members[number].restarts.by_reason),
            messages.hear,
        )
        try:
            await self._until_ready(planned.name, child, readiness)
        except BaseException:
            await child.kill()
            raise
        messages.release()
        return child

    async def _until_ready(self, name: str, child: ChildProcess, readiness: Readiness) -> None:
        ready = asyncio.create_task(readiness.wait(), name=f"{name} becomes ready")
        ended = asyncio.create_task(child.wait(), name=f"{name} ends")
        try:
            await asyncio.wait(
                (ready, ended), timeout=_START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            if ready.done():
                return
            if ended.done():
                raise start_error(name, ended.result(), list(child.lines))
            raise StartError(f"{name} was not ready within {_START_TIMEOUT:g} s")
        finally:
            ready.cancel()
            ended.cancel()
            await asyncio.wait((ready, ended))


class _Messages:
    """What a process writes: held until it is ready, because an error of its start is told by StartError."""

    def __init__(self, name: str, tell: Callable[[str, str], None]) -> None:
        self._name = name
        self._tell = tell
        self._held: list[str] | None = []

    def hear(self, line: str) -> None:
        if self._held is None:
            self._tell(self._name, line)
        else:
            self._held = [*self._held[-_HELD_LINES:], line]

    def release(self) -> None:
        held, self._held = self._held or [], None
        for line in held:
            self._tell(self._name, line)


def named(name: str, line: str, form: str) -> str:
    """A line that the process ``name`` wrote, with its name. ``form``: that of the log."""
    if form == "json":
        with contextlib.suppress(ValueError):
            fields = json.loads(line)
            if isinstance(fields, dict):
                raw = json.dumps({"process": name} | fields, ensure_ascii=False)
                return printable_json(raw.encode("utf-8", "backslashreplace"))
    return f"{name}: {printable_lines(line)}"
