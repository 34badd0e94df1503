"""The quotes per second that one feeder publishes, and one gateway takes in, before they fall behind.

The rate is doubled until less than 95 % of it is published, or more than 1 % is skipped by the gateway. Feeder, server,
gateway and a reader that takes everything share the cores, so the figure is a lower bound.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.scaleout.stack import nats_server
from qcfeed.upstreams.universe import TICKERS

_PATIENCE = 20.0
_FIRST = 5_000
_LAST = 160_000
_ENOUGH, _SKIPPED = 0.95, 0.01


class Sustained(NamedTuple):
    """Quotes per second: offered, published by the feeder, received by the gateway one by one."""

    offered: int
    published: float
    received: float

    @property
    def feeder_keeps_up(self) -> bool:
        return self.published >= _ENOUGH * self.offered

    @property
    def gateway_keeps_up(self) -> bool:
        return self.received >= (1 - _SKIPPED) * self.published


class _Process:
    """A feeder or gateway with its control plane in ``home``."""

    def __init__(self, home: Path, name: str, *arguments: str) -> None:
        homes = dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), str(home))
        self._environment = dict(os.environ) | homes
        self._before = [sys.executable, "-m", "qcfeed", "--instance", name]
        self._process = subprocess.Popen(
            [*self._before, *arguments, "--no-monitor", "--port", "0"],
            env=self._environment,
            stderr=subprocess.DEVNULL,
        )

    def status(self) -> dict[str, Any]:
        """Its status, once it answers."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            command = [*self._before, "status", "-o", "json"]
            done = subprocess.run(
                command, env=self._environment, capture_output=True, check=False, timeout=_PATIENCE
            )
            with contextlib.suppress(ValueError):
                found: dict[str, Any] = json.loads(done.stdout)
                if "listening" in found:
                    return found
            time.sleep(0.1)
        raise TimeoutError("it did not start")

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()


@contextlib.contextmanager
def _running(home: Path, name: str, *arguments: str) -> Iterator[_Process]:
    process = _Process(home, name, *arguments)
    try:
        yield process
    finally:
        process.end()


def measure(directory: Path, symbols: int, offered: int, seconds: float) -> Sustained:
    """One rate, over ``symbols`` symbols."""
    home = directory / f"sustained-{offered}"
    home.mkdir()
    source = f"sim:?rate={offered / symbols:g}"
    with (
        nats_server(home) as url,
        _running(home, "f", "feeder", "--to", url, "--upstream", source) as feeder,
        _running(home, "g", "serve", "--upstream", url, "--request-rate", "0") as gateway,
    ):
        feeder.status()
        with connect(
            f"ws://{gateway.status()['listening']['websocket']}/stream", max_queue=None
        ) as client:
            for start in range(0, symbols, 50):
                wanted = TICKERS[start : min(symbols, start + 50)]
                client.send(json.dumps({"action": "subscribe", "symbols": wanted}))
            reader = threading.Thread(target=_take_everything, args=(client,))
            reader.start()
            time.sleep(2.0)  # all feeds have started
            first = _counts(feeder, gateway)
            time.sleep(seconds)
            last = _counts(feeder, gateway)
            client.close()
            reader.join()
    took = last[0] - first[0]
    published, skipped = last[1] - first[1], last[2] - first[2]
    return Sustained(offered, published / took, (published - skipped) / took)


def _take_everything(client: Any) -> None:
    with contextlib.suppress(ConnectionClosed, OSError):
        while True:
            client.recv()


def _counts(feeder: _Process, gateway: _Process) -> tuple[float, int, int]:
    of_gateway, of_feeder = gateway.status()["cluster"], feeder.status()["cluster"]
    lost = of_gateway["quotes_skipped"] + of_gateway["slow_drops"]
    return time.monotonic(), of_feeder["quotes_published"], lost


def report(directory: Path, symbols: int, seconds: float) -> None:
    """Print the rates until both have fallen behind."""
    print(f"\na feeder and a gateway alone, {symbols} symbols, quotes per second")
    print(f"{'offered':>10}{'published':>12}{'taken in one by one':>22}")
    offered = _FIRST
    while offered <= _LAST:
        found = measure(directory, symbols, offered, seconds)
        print(f"{found.offered:10,}{found.published:12,.0f}{found.received:22,.0f}")
        if not (found.feeder_keeps_up and found.gateway_keeps_up):
            return
        offered *= 2
