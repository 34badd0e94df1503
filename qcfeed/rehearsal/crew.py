"""The processes of a rehearsal: the service, a subscriber, Prometheus, Alertmanager."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from qcfeed.errors import StartError
from qcfeed.metrics import rules
from qcfeed.metrics.artifacts import Artifact, text

PATIENCE = 30.0
"""Seconds for a process to be ready, and to end when it is told to."""
FASTER = 30
"""By how much the rules' times are shortened: two minutes are four seconds."""

QCFEED = (sys.executable, "-m", "qcfeed")
_QUOTES = re.compile(r"quotes\s+ws://([^/\s]+)/")
_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')


class Crew:
    """Starts processes, and ends each by its own handle, the last one first."""

    def __init__(self, directory: Path, instance: str) -> None:
        self.directory = directory
        self.environment = os.environ | {"QCFEED_INSTANCE": instance, "NO_COLOR": "1"}
        self._instance = instance
        self._running = contextlib.ExitStack()

    def close(self) -> None:
        """End them all."""
        self._running.close()

    def service(self, *options: str) -> str:
        """One that allows drills; where it listens."""
        command = (*QCFEED, "--instance", self._instance, "serve", "--port", "0", *options)
        return self._started("service", command, _QUOTES)

    def subscriber(self, *symbols: str) -> None:
        """One that holds these symbols until the end."""
        self._start("subscriber", (*QCFEED, "watch", "-o", "json", *symbols))

    def monitoring(self, target: str) -> str | None:
        """Prometheus over ``target``, by the shipped rules; its URL. None where it is not installed."""
        if shutil.which("prometheus") is None:
            return None
        manager = self._alertmanager()
        self._write("rules.yml", text(Artifact.RULES, faster=FASTER))
        config = text(Artifact.PROMETHEUS).replace("127.0.0.1:8006", target)
        if manager is not None:
            config = config.replace("127.0.0.1:9093", manager)
        self._write("prometheus.yml", rules.shorten(config, FASTER // 2))
        address = self._started(
            "prometheus",
            (
                "prometheus",
                f"--config.file={self.directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.directory / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ),
            _LISTENING,
        )
        return f"http://{address}"

    def _alertmanager(self) -> str | None:
        program = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
        if program is None:
            return None
        self._write("alertmanager.yml", rules.shorten(text(Artifact.ALERTMANAGER), FASTER))
        return self._started(
            "alertmanager",
            (
                program,
                f"--config.file={self.directory / 'alertmanager.yml'}",
                f"--storage.path={self.directory / 'alertmanager'}",
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ),
            _LISTENING,
        )

    def _write(self, name: str, content: str) -> None:
        (self.directory / name).write_text(content, encoding="utf-8")

    def _started(self, name: str, command: Sequence[str], where: re.Pattern[str]) -> str:
        """Start it and wait until its log says where it listens. Raises StartError."""
        process, log = self._start(name, command)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            found = where.search(log.read_text(encoding="utf-8"))
            if found is not None and _answers(found[1]):
                return found[1]
            time.sleep(0.05)
        last = log.read_text(encoding="utf-8").strip().splitlines()[-3:]
        raise StartError(f"the rehearsal's {name} did not start: {' / '.join(last)}")

    def _start(self, name: str, command: Sequence[str]) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - programs of ours, and those of the PATH
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,  # a Ctrl-C is ours to pass on, in order
            )
        self._running.callback(_end, process)
        return process, log


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    """Whether it takes requests; all of ours have a page at the root of their port."""
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=5):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def crew(directory: Path, instance: str) -> Iterator[Crew]:
    """Everything that it started has ended at the end of the block."""
    working = Crew(directory, instance)
    try:
        yield working
    finally:
        working.close()
