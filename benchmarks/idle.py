"""How many idle subscribers a machine holds: memory, and the delay of one quote per second to all.

    python -m benchmarks.idle                                     # 100,000 over six processes behind one port
    python -m benchmarks.idle --subscribers 19500 --processes 1   # one process, up to its file limit

Each process may open only so many files (`ulimit -Hn`), and each client address has only so many ephemeral
ports: so there are several servers, and several processes of readers, each at a loopback address of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.fanout import building
from benchmarks.fanout.processes import PATIENCE, Readers, allow_many_files

_SERVER = "benchmarks.fanout.servers.behind_one_port"
_SOURCES = "127.0.1.{}"
_PER_SOURCE = 8_000
"""Connections from one address. Beyond 14,000, half of the ephemeral ports, the kernel scans them for each one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``p99_ms``, ``most_ms``: of the slowest reader process, from the quote's due time to its arrival."""

    subscribers: int
    processes: int
    seconds: float
    bytes_each: float
    kernel_bytes_each: float
    delivered_share: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    servers_cpu: float
    readers_cpu: float


def measure(subscribers: int, processes: int, seconds: float, settle: float = 5.0) -> Outcome:
    """Connect everybody, wait ``settle`` seconds, and count what arrives. Raises MeasurementError."""
    allow_many_files()
    with (
        tempfile.TemporaryDirectory(prefix="qcfeed-idle-") as name,
        _servers(processes, subscribers, Path(name)) as (port, servers),
    ):
        before, kernel_before = _resident(servers), _kernel()
        with contextlib.ExitStack() as stack:
            program = building.build("readers", Path(name))
            groups = -(-subscribers // _PER_SOURCE)
            counts = [(subscribers + number) // groups for number in range(groups)]
            readers = []
            for number, count in enumerate(counts, 1):
                began = time.monotonic()
                readers.append(
                    stack.enter_context(_readers(program, port, count, _SOURCES.format(number)))
                )
                print(f"{sum(counts[:number]):,} open, the last {count:,} in {time.monotonic() - began:.0f} s", file=sys.stderr)  # fmt: skip
            time.sleep(settle)
            grown, kernel_grown = _resident(servers) - before, _kernel() - kernel_before
            used, began = _cpu(servers), time.monotonic()
            with ThreadPoolExecutor(groups) as threads:
                answers = list(
                    threads.map(lambda each: each.ask(f"measure {seconds:g}", seconds), readers)
                )
            used, took = _cpu(servers) - used, time.monotonic() - began
    late = [each["latency_us"] for each in answers]
    return Outcome(
        subscribers=subscribers,
        processes=processes,
        seconds=seconds,
        bytes_each=grown / subscribers,
        kernel_bytes_each=kernel_grown / subscribers,
        delivered_share=sum(each["delivered"] for each in answers) / (subscribers * seconds),
        p50_ms=max(each["p50"] for each in late) / 1e3,
        p99_ms=max(each["p99"] for each in late) / 1e3,
        most_ms=max(each["most"] for each in late) / 1e3,
        servers_cpu=used / took,
        readers_cpu=sum(each["cpu"] for each in answers) / took,
    )


@contextlib.contextmanager
def _servers(
    processes: int, subscribers: int, directory: Path
) -> Iterator[tuple[int, list[psutil.Process]]]:
    """The instances behind one port, and that port."""
    home = {name: str(directory) for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME")}  # fmt: skip
    limits = ["--max-connections", str(subscribers), "--subscribe-rate", "1e9", "--ping-interval", "0"]  # fmt: skip
    command = [sys.executable, "-m", _SERVER, str(processes), *limits, "--upstream", "sim:?rate=1"]
    process = subprocess.Popen(
        [*command, "--no-monitor"], stdout=subprocess.PIPE, env={**os.environ, **home}, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split()[1])
            yield port, psutil.Process(process.pid).children(recursive=True)
        finally:
            process.terminate()


@contextlib.contextmanager
def _readers(program: Path, port: int, count: int, source: str) -> Iterator[Readers]:
    """``count`` readers that have connected from ``source``."""
    command = [str(program), str(port), "websocket", str(count), "AAPL", source]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        readers = Readers(process)
        readers.line(PATIENCE)
        yield readers


def _resident(servers: list[psutil.Process]) -> int:
    return sum(int(each.memory_info().rss) for each in servers)


def _kernel() -> int:
    """Bytes of the kernel's TCP buffers, which idle connections have none of (proc(5): sockstat)."""
    (line,) = [
        each for each in Path("/proc/net/sockstat").read_text().splitlines() if "TCP:" in each
    ]
    return int(line.split()[-1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu(servers: list[psutil.Process]) -> float:
    times = [each.cpu_times() for each in servers]
    return float(sum(each.user + each.system for each in times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    print(json.dumps(asdict(measure(given.subscribers, given.processes, given.seconds)), indent=1))


if __name__ == "__main__":
    main()
