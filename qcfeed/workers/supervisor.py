"""The group: starts its processes, keeps them running, restarts them one by one, and ends them in order.

No process outlives this one: each is killed by the kernel when this process ends without ending it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import socket
import time
from pathlib import Path

from qcfeed.config import Config
from qcfeed.errors import ExitStatus, UsageError, not_found
from qcfeed.formats import printable_json, printable_lines
from qcfeed.net import listen
from qcfeed.streams import write_message
from qcfeed.supervised import REQUESTED
from qcfeed.workers import child_process, plan
from qcfeed.workers.broker import Broker, write_private
from qcfeed.workers.checks import Checks, HealthCheck
from qcfeed.workers.child_process import ChildProcess, Readiness
from qcfeed.workers.plan import BROKER, FEEDER, PlannedProcess
from qcfeed.workers.starting import Messages, Starting
from qcfeed.workers.supervised_process import Launch, StandBy, Successor, SupervisedProcess

_GRACE = 5.0
"""Seconds beyond --drain-timeout before a process is killed."""
_BROKER_TIMEOUT = 5.0


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
        self.processes: list[SupervisedProcess] = []
        self.state = "serving"
        self.started_at = time.monotonic()
        self._port = bound.getsockname()[1]
        self._directory = directory
        self._readiness: dict[int, list[Readiness]] = {}
        self._lives = itertools.count(1)
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
                for process in started:
                    tasks.create_task(process.start(), name=f"start {process.name}")
        except BaseException as error:  # noqa: BLE001 - it is raised again
            await self.stop()
            # Of a group: the first failure has cancelled the others.
            raise (
                error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
            ) from None

    async def restart(self, names: list[str]) -> list[str]:
        """Restart these processes, or all but the NATS server, one after the other; their names.

        A gateway drains first; the feeder's successor stands by before the feeder ends.

        Raises StartError if one does not come back; the others are left as they are then.
        """
        chosen = self._chosen(names)
        if self._rolling.locked():
            raise UsageError("a restart is running already", hint="`qcfeed workers` shows it")
        async with self._rolling:
            self.state = "restarting"
            try:
                for process in chosen:
                    await process.restart(self.config.drain_timeout + _GRACE)
            finally:
                self.state = "draining" if self._ending else "serving"
        return [process.name for process in chosen]

    def _chosen(self, names: list[str]) -> list[SupervisedProcess]:
        known = {each.name: each for each in self.processes if each.role != BROKER}
        if missing := [name for name in names if name not in known]:
            raise not_found("worker", *missing, hint="`qcfeed workers` lists them", known=known)
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
                *(each.stop(timeout) for each in self.processes if each.role in roles)
            )
            statuses += [] if BROKER in roles else ended
        self._checks.close()
        for number in self._readiness:
            self._close_readiness(number)
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

    def _add(self, planned: PlannedProcess) -> SupervisedProcess:
        number = len(self.processes)

        async def launch() -> ChildProcess:
            return await (await self._begin(planned, number, successor=False)).ready()

        async def stand_by() -> Successor:
            return await self._start_successor(planned, number)

        check = self._checks.of_worker(planned.name)
        # Gateways share their port and clients; there is one feeder, without which there are no quotes.
        replaced = stand_by if planned.role == FEEDER else None
        return self._append(planned.name, planned.role, launch, check, replaced)

    def _append(
        self,
        name: str,
        role: str,
        launch: Launch,
        check: HealthCheck,
        stand_by: StandBy | None = None,
    ) -> SupervisedProcess:
        process = SupervisedProcess(name, role, launch, check, self.config.worker_timeout, stand_by)
        self.processes.append(process)
        return process

    async def _begin(self, planned: PlannedProcess, number: int, *, successor: bool) -> Starting:
        """Start a process. ``successor``: beside the one that has its name now."""
        counts = self.processes[number].restarts
        restarts, last = dict(counts.by_reason), counts.last
        if successor:
            restarts[REQUESTED] = restarts.get(REQUESTED, 0) + 1  # counted at its predecessor's end
            last = REQUESTED
        else:
            self._close_readiness(number)
        path = self._directory / f"{number}-{next(self._lives)}.ready"
        # Open by now: the process reports to it from its first moment on.
        readiness = Readiness(path)
        self._readiness.setdefault(number, []).append(readiness)
        messages = Messages(planned.name, self._tell)
        child = await child_process.start(
            planned.command,
            plan.environment(os.environ, str(path), restarts, last=last, successor=successor),
            messages.hear,
        )
        return Starting(planned.name, child, readiness, messages)

    async def _start_successor(self, planned: PlannedProcess, number: int) -> Successor:
        starting = await self._begin(planned, number, successor=True)
        await starting.stands_by()

        async def take_over() -> ChildProcess:
            child = await starting.ready()
            self._close_readiness(number, but_last=True)
            return child

        return Successor(starting.child, take_over)

    def _close_readiness(self, number: int, *, but_last: bool = False) -> None:
        """Close those of processes that have ended: until then they report there."""
        opened = self._readiness.get(number, [])
        kept = opened[-1:] if but_last else []
        for each in opened[: len(opened) - len(kept)]:
            each.close()
        self._readiness[number] = kept


def named(name: str, line: str, form: str) -> str:
    """A line that the process ``name`` wrote, with its name. ``form``: that of the log."""
    if form == "json":
        with contextlib.suppress(ValueError):
            fields = json.loads(line)
            if isinstance(fields, dict):
                raw = json.dumps({"process": name} | fields, ensure_ascii=False)
                return printable_json(raw.encode("utf-8", "backslashreplace"))
    return f"{name}: {printable_lines(line)}"
