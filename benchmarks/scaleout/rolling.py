"""The longest gap that clients see while all workers are restarted: ``python -m benchmarks.scaleout.rolling``.

Each client reads one symbol, and comes back when ``going_away`` says, or with a short backoff if its connection was
reset or refused. A gap is the time between two quotes of a client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

_PATIENCE = 60.0


class Client:
    """``gaps``: seconds between two quotes; ``told``: what ``going_away`` said, in seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last: float | None = None
        self.longest = 0.0
        self.told: list[float] = []
        self.connections = 0

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            wait = random.uniform(0.05, 0.3)
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                async with connect(self._url, max_queue=None) as socket:
                    self.connections += 1
                    async for text in socket:
                        message = json.loads(text)
                        if message["type"] == "going_away":
                            wait = message["retry_after_ms"] / 1_000
                            self.told.append(wait)
                        elif message["type"] == "quote":
                            self._note()
            await asyncio.sleep(wait)

    def _note(self) -> None:
        now = time.monotonic()
        if self._last is not None:
            self.longest = max(self.longest, now - self._last)
        self._last = now

    def begin(self) -> None:
        """Count from now on."""
        self.longest, self.told = 0.0, []


async def measure(home: Path, workers: int, clients: int, drain: float, only: str) -> None:
    """Start the service, connect, restart workers, and print what the clients saw.

    ``only``: the end of one worker's name, such as ``feeder`` or ``1``; all of them if it is empty.
    """
    homes = dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), str(home))
    environment = dict(os.environ) | homes
    command = [sys.executable, "-m", "qcfeed"]
    serve = (
        "serve",
        "--port",
        "0",
        "--no-monitor",
        "--workers",
        str(workers),
        "--upstream",
        "sim:?rate=50",
    )
    log = home / "log"
    with log.open("w") as file:
        service = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            [*command, *serve, "--drain-timeout", f"{drain:g}"], env=environment, stderr=file
        )
    try:
        url = await asyncio.to_thread(_url, service, log)
        readers = [Client(f"{url}/quotes/AAPL") for _ in range(clients)]
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in readers]
            await asyncio.sleep(3.0)
            for each in readers:
                each.begin()
            began = time.monotonic()
            restart = await asyncio.create_subprocess_exec(
                *(*command, "workers", "restart", *_names(url, only)),
                env=environment,
                stderr=subprocess.PIPE,
            )
            _, told = await restart.communicate()
            took = time.monotonic() - began
            await asyncio.sleep(drain)
            for task in running:
                task.cancel()
    finally:
        service.terminate()
        service.wait()
    print(told.decode().strip() + f" in {took:.1f} s")
    _print(readers, drain)


def _print(readers: list[Client], drain: float) -> None:
    longest = sorted(each.longest for each in readers)
    told = [wait for each in readers for wait in each.told] or [0.0]
    print(f"{len(readers)} clients, --drain-timeout {drain:g}")
    print(f"told to come back after {min(told):.2f} to {max(told):.2f} s ({len(told)} times)")
    print(
        f"longest gap of a client: median {statistics.median(longest):.2f} s, worst {longest[-1]:.2f} s"
    )


def _names(url: str, only: str) -> tuple[str, ...]:
    return (f"{url.rpartition(':')[2]}-{only}",) if only else ()


def _url(service: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + _PATIENCE
    while service.poll() is None and time.monotonic() < until:
        for line in log.read_text().splitlines():
            if line.startswith("  quotes ") and "control" in log.read_text():
                return line.split()[1].partition("/quotes")[0]
        time.sleep(0.05)
    sys.exit(f"the service did not start: {log.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaleout.rolling", description=__doc__
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--drain-timeout", type=float, default=5.0)
    parser.add_argument(
        "--only", default="", help="restart one worker: feeder, or the number of a gateway"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qcfeed-bench-") as home:
        asyncio.run(
            measure(
                Path(home),
                arguments.workers,
                arguments.clients,
                arguments.drain_timeout,
                arguments.only,
            )
        )


if __name__ == "__main__":
    main()
