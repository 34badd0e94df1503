"""The NATS server of a service with workers: on loopback, with a random password, and with JetStream."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from qcfeed import nats_program
from qcfeed.errors import StartError
from qcfeed.workers import child_process
from qcfeed.workers.child_process import ChildProcess
from qcfeed.workers.plan import NATS_USER

START_TIMEOUT = 30.0
_POLL = 0.02
_SERIOUS = ("[WRN]", "[ERR]", "[FTL]")
_KNOWN = "Plaintext passwords detected"
"""The password is random, and in a file of this user only."""
_CONFIGURATION = """\
listen: "127.0.0.1:{port}"
server_name: "{name}"
ports_file_dir: {directory}
pid_file: {pid_file}
authorization {{ users: [ {{ user: {user}, password: {password} }} ] }}
jetstream {{ store_dir: {store}, max_memory_store: 16MB, max_file_store: 64MB }}
"""


class Broker:
    """One nats-server, which keeps its port when it is started again."""

    def __init__(self, directory: Path, name: str, on_line: Callable[[str], None]) -> None:
        """``directory``: only this user may enter it. Raises StartError if there is no nats-server."""
        self._program = nats_program.find("--workers")
        self._directory = directory
        self._name = name
        self._on_line = on_line
        self._port = -1
        self.password = secrets.token_hex(24)

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    async def start(self) -> ChildProcess:
        """Start it, and return once it accepts connections. Raises StartError."""
        for old in self._directory.glob("*.ports"):
            old.unlink()
        file = self._directory / "nats.conf"
        write_private(file, self._configuration())
        child = await child_process.start(
            (self._program, "-c", str(file)), dict(os.environ), self._hear
        )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                self._port = await self._read_port(child)
        except BaseException as error:
            await child.kill()
            if isinstance(error, TimeoutError):
                raise StartError(
                    f"{self._program} did not start within {START_TIMEOUT:g} s: {_last(child)}"
                ) from error
            raise
        return child

    async def _read_port(self, child: ChildProcess) -> int:
        """nats-server writes the ports file once it listens."""
        while child.status is None:
            for file in self._directory.glob("*.ports"):
                try:
                    urls = json.loads(file.read_bytes())["nats"]
                except (ValueError, KeyError):
                    continue  # half written
                return urlsplit(urls[0]).port or -1
            await asyncio.sleep(_POLL)
        await child.wait()
        raise StartError(f"{self._program} did not start: {_last(child)}")

    def _configuration(self) -> str:
        directory = self._directory
        return _CONFIGURATION.format(
            port=self._port,
            name=self._name,
            directory=json.dumps(str(directory)),
            pid_file=json.dumps(str(directory / "nats.pid")),
            store=json.dumps(str(directory)),
            user=NATS_USER,
            password=json.dumps(self.password),
        )

    def _hear(self, line: str) -> None:
        """Log warnings and errors only; all other lines are about single connections."""
        if any(word in line for word in _SERIOUS) and _KNOWN not in line:
            self._on_line(line)


def write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)


def _last(child: ChildProcess) -> str:
    return " / ".join([line for line in child.lines if "[INF]" not in line][-3:]) or "no message"
