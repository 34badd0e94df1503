"""Real NATS servers with JetStream, on loopback, on ports from the kernel, stopped by their handles."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

_BESIDE = Path(sys.executable).with_name("nats-server")
SERVER = str(_BESIDE) if _BESIDE.exists() else shutil.which("nats-server")

needs_nats = pytest.mark.skipif(
    SERVER is None, reason="no nats-server: `pip install 'qcfeed[cluster]'`"
)


class NatsServer:
    """One server. It keeps its port and its store when it is started again."""

    def __init__(
        self,
        home: Path,
        config: str = "",
        name: str = "n1",
        host: str = "127.0.0.1",
        before: Sequence[str] = (),
    ) -> None:
        """``before``: a command that runs the server, for example in a network namespace."""
        self._home = home
        self._config = config
        self._name = name
        self._host = host
        self._before = before
        self._process: subprocess.Popen[bytes] | None = None
        self.port = -1
        home.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"nats://{self._host}:{self.port}"

    @property
    def log(self) -> str:
        path = self._home / "log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        ports = self._home / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        config = self._home / "nats.conf"
        config.write_text(
            f'server_name: {self._name}\nlisten: "{self._host}:{self.port}"\nports_file_dir: "{ports}"\n'
            f'log_file: "{self._home / "log"}"\n'
            f'jetstream {{ store_dir: "{self._home / "js"}", max_file: 64MB, max_mem: 16MB }}\n'
            + self._config
        )
        assert SERVER is not None
        self._process = subprocess.Popen([*self._before, SERVER, "-c", str(config)])
        deadline = time.monotonic() + PATIENCE
        while not (found := [each for each in ports.glob("*.ports") if each.stat().st_size]):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, f"the server did not start: {self.log}"
            time.sleep(0.01)
        self.port = int(json.loads(found[0].read_text())["nats"][0].rpartition(":")[2])

    def reconfigure(self, config: str) -> None:
        """Reload the configuration with ``config`` in place of what the server was given."""
        path = self._home / "nats.conf"
        text = path.read_text()
        # A reload may change neither the port nor what names it.
        text = text.replace(f':{-1}"', f':{self.port}"').removesuffix(self._config) + config
        path.write_text(text)
        self._config = config
        self.signal(signal.SIGHUP)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is None:
            return
        (self._process.kill if kill else self._process.terminate)()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@contextlib.contextmanager
def nats_server(home: Path, config: str = "") -> Iterator[NatsServer]:
    server = NatsServer(home, config)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def nats_cluster(home: Path, route_ports: Sequence[int]) -> Iterator[list[NatsServer]]:
    """A cluster of as many servers as there are ports for their routes."""
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in route_ports)
    servers = [
        NatsServer(
            home / f"n{number}",
            f'cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}\n',
            f"n{number}",
        )
        for number, port in enumerate(route_ports, 1)
    ]
    try:
        for each in servers:
            each.start()
        yield servers
    finally:
        for each in servers:
            each.stop()
