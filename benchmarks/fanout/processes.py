"""The two processes of a measurement, a server and its readers, each on its own core."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.fanout import machine
from benchmarks.fanout.peers import Peer, node_path
from benchmarks.fanout.workloads import Workload

PATIENCE = 100.0
"""Seconds for a server to start, and for 16,000 readers to connect (they give up earlier)."""

_GRACE = 3.0
"""Seconds in which a process must end after SIGINT: a server that is far behind flushes its buffers."""

_ENDING = {signal.SIGINT, signal.SIGTERM}
_READY = re.compile(rb"ready (\d+)|quotes +wss?://[^ ]*:(\d+)/")


class MeasurementError(Exception):
    """A server or its readers failed; the message has their output."""


def allow_many_files() -> int:
    """Raise the limit of open files to its maximum; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass(frozen=True, slots=True)
class Server:
    """A running server with all its child processes."""

    port: int
    process: psutil.Process

    def check(self) -> None:
        """Raise MeasurementError if the server has ended."""
        if not self.process.is_running() or self.process.status() == psutil.STATUS_ZOMBIE:
            raise MeasurementError("the server ended by itself")

    def cpu(self) -> float:
        """Processor time of all its threads, in seconds."""
        return sum(_cpu(process.pid) for process in self._all())

    def resident(self) -> int:
        """Memory in bytes."""
        return sum(int(process.memory_info().rss) for process in self._all())

    def unsent(self, ports: set[int]) -> int:
        """Bytes in the kernel's buffers for clients at ``ports`` (proc(5), /proc/net/tcp)."""
        held = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues = line.split()[:5]
            if int(local[-4:], 16) == self.port and int(remote[-4:], 16) in ports:
                held += int(queues.partition(":")[0], 16)
        return held

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def _cpu(pid: int) -> float:
    """Processor time, in nanoseconds if the kernel counts them (schedstat), for short runs."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


@contextlib.contextmanager
def serving(peer: Peer, workload: Workload) -> Iterator[Server]:
    """Run ``peer`` on the first core until the block ends. Raises MeasurementError."""
    cores, _ = machine.cores(any_core=workload.any_core)
    with tempfile.TemporaryDirectory(prefix="qcfeed-bench-") as name, _log(name) as log:
        home = {"XDG_RUNTIME_DIR": name, "XDG_STATE_HOME": name, "XDG_CONFIG_HOME": name}
        with _running(
            peer.command(workload, Path(name)),
            cores,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **home, "NODE_PATH": node_path()},
        ) as process:
            try:
                yield Server(_port(process, Path(log.name)), psutil.Process(process.pid))
            except (MeasurementError, OSError, ValueError, psutil.Error) as error:
                output = Path(log.name).read_text(errors="replace").strip()[-2_000:]
                raise MeasurementError(f"{error}\n{output}".strip()) from error


@contextlib.contextmanager
def _running(
    command: Sequence[str | Path], cores: set[int], **how: Any
) -> Iterator[subprocess.Popen[Any]]:
    """Run a process on ``cores`` until the block ends, also if a signal arrives while it starts."""
    process: subprocess.Popen[Any] | None = None
    try:
        with _undisturbed():
            process = subprocess.Popen(command, preexec_fn=lambda: _settle(cores), **how)
        yield process
    finally:
        with _undisturbed():
            if process is not None:
                _end(process)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle(cores: set[int]) -> None:
    """Runs in the new process."""
    os.sched_setaffinity(0, cores)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _log(directory: str) -> Any:
    return Path(directory, "log").open("wb")


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if found := _READY.search(log.read_bytes()):
            return int(found[1] or found[2])
        time.sleep(0.01)
    raise MeasurementError(f"the server did not start: exit status {process.poll()}")


def _end(process: subprocess.Popen[Any]) -> None:
    """Wait until the process ends by itself; then kill it with its child processes."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    process.kill()
    process.wait()
    for each in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()  # psutil checks that the pid was not reused


class Readers:
    """The readers' process; readers/readers.c defines its commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ)
        self.pid = process.pid

    def ask(self, command: str, seconds: float = 0.0) -> dict[str, Any]:
        """Send ``command``, which takes ``seconds``; returns its answer."""
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.line(seconds + PATIENCE))
        return answer

    def line(self, timeout: float) -> str:
        """The next line of output. Raises MeasurementError if there is none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline() if self._selector.select(timeout) else ""
        if not line:
            raise MeasurementError(f"the readers printed nothing: status {self._process.poll()}")
        return line

    def ports(self, count: int) -> set[int]:
        """Local ports of the first ``count`` connections, which stop first."""
        mine = psutil.Process(self.pid).net_connections("tcp")
        return {each.laddr.port for each in sorted(mine, key=lambda each: each.fd)[:count]}


@contextlib.contextmanager
def reading(program: Path, peer: Peer, workload: Workload, port: int) -> Iterator[Readers]:
    """The workload's readers, all connected, on the last core, until the block ends."""
    _, cores = machine.cores(any_core=workload.any_core)
    symbols = ",".join(workload.symbols)
    command = [str(program), str(port), peer.protocol, str(workload.readers), symbols]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        tempfile.TemporaryFile("w+") as errors,
        _running(command, cores, stderr=errors, text=True, **pipes) as process,
    ):
        try:
            readers = Readers(process)
            readers.line(PATIENCE)
            yield readers
        except MeasurementError as error:
            errors.seek(0)
            raise MeasurementError(f"{error} {errors.read().strip()[-500:]}") from error
        finally:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
