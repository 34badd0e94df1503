"""The processes of a rehearsal: the service, a subscriber, Prometheus, Alertmanager."""

from __future__ import annotations

import contextlib
import http
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from qcfeed import nats_program
from qcfeed.errors import StartError
from qcfeed.metrics import rules
from qcfeed.metrics.artifacts import Artifact, text
from qcfeed.metrics.catalog.alerts import ALERTS, DRILL_LEFT_ON
from qcfeed.runbook_commands import QCFEED

TIMEOUT = 30.0
"""Seconds for a process to become ready, and to end after SIGTERM."""
SPEEDUP = 30
"""The factor by which the rules' durations are shortened: two minutes become four seconds."""

AUDIT_LOG = "audit.jsonl"
"""File name of the service's audit log, in the rehearsal's directory."""
_FEEDS = ("--no-monitor", "--upstream", "sim:?rate=20", "--lease", "2", "--linger", "1")
"""Options of a feeder."""
_QUOTES = re.compile(r"quotes\s+ws://([^/\s]+)/")
_HEALTH = re.compile(r"health\s+http://([^/\s]+)/")
_NATS = re.compile(r"Listening for client connections on (\S+)(?=[\s\S]*Server is ready)")
"""nats-server speaks another protocol than HTTP, and says when it is ready."""
_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')


class Processes:
    """Starts processes, and ends them in reverse order, each by its own handle."""

    def __init__(self, directory: Path, instance: str) -> None:
        self.directory = directory
        self.environment = _environment(directory) | {"QCFEED_INSTANCE": instance}
        self._instance = instance
        self._running = contextlib.ExitStack()
        self._serve: tuple[str, ...] = ()
        self._where = _QUOTES
        self.gateway = instance
        """The instance that subscribers connect to."""
        self._service: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        """How often the service was started again."""

    def close(self) -> None:
        """End all processes."""
        self._running.close()

    def service(self, *options: str) -> str:
        """Start a service that allows drills; returns its HOST:PORT."""
        return self._start_service(("serve", *options), _QUOTES)

    def feeder(self, *, standby: bool = False) -> tuple[str, ...]:
        """Start a feeder that allows drills, and what is around it; the HOST:PORT of each feeder, its own first.

        ``standby``: another feeder owns the share before it starts.
        """
        url = self._nats_server()
        others = (self._owner(url),) if standby else ()
        where = self._start_service(("feeder", "--allow-drills", *_FEEDS, "--to", url), _HEALTH)
        self.gateway = f"{self._instance}-gateway"
        self._start_and_wait(
            "gateway",
            (*QCFEED, "--instance", self.gateway, "serve", "--no-monitor", "--port", "0",
             "--upstream", url),
            _QUOTES,
        )  # fmt: skip
        return where, *others

    def cluster(self) -> str:
        """Start a NATS server and a feeder; returns the server's URL. Raises StartError without nats-server."""
        url = self._nats_server()
        self._owner(url)
        return url

    def _owner(self, url: str) -> str:
        """Start a feeder of which nothing is asked; returns its HOST:PORT."""
        name = f"{self._instance}-feeder"
        command = (*QCFEED, "--instance", name, "feeder", *_FEEDS, "--to", url)
        return self._start_and_wait("feeder", command, _HEALTH)[1]

    def _nats_server(self) -> str:
        program = nats_program.find("this rehearsal")
        store = str(self.directory / "jetstream")
        _, at = self._start_and_wait(
            "nats-server", (program, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", store), _NATS
        )
        return f"nats://{at}"

    def _start_service(self, command: Sequence[str], where: re.Pattern[str]) -> str:
        self._serve = (*QCFEED, "--instance", self._instance, *command)
        self._serve += ("--audit-log", str(self.directory / AUDIT_LOG))
        self._where = where
        self._service, at = self._start_and_wait("service", (*self._serve, "--port", "0"), where)
        self._serve += ("--port", at.rpartition(":")[2])
        return at

    def restart_if_ended(self) -> int | None:
        """Restart the service on its port if it has ended, as systemd would; returns its exit status.

        Returns None while the service is running. Raises StartError.
        """
        if self._service is None or (status := self._service.poll()) is None:
            return None
        self._service, _ = self._start_and_wait("service", self._serve, self._where)
        self.restarts += 1
        return status

    def subscriber(self, *symbols: str) -> None:
        """Start a subscriber to these symbols."""
        command = ("--instance", self.gateway, "watch", "-o", "json", *symbols)
        self._start("subscriber", (*QCFEED, *command))

    def monitoring(self, targets: Sequence[str], alerts: Collection[str]) -> str | None:
        """Start Prometheus with the shipped rules, scraping ``targets``; returns its URL.

        None if Prometheus is not installed. The alert about a running drill is left out, unless it is
        one of ``alerts``: it would fire in every rehearsal.
        """
        if shutil.which("prometheus") is None:
            return None
        manager = self._alertmanager()
        wanted = [each for each in ALERTS if each is not DRILL_LEFT_ON or each.name in alerts]
        self._write("rules.yml", rules.render(wanted, faster=SPEEDUP))
        scraped = ", ".join(f'"{target}"' for target in targets)
        config = text(Artifact.PROMETHEUS).replace('"127.0.0.1:8006"', scraped)
        if manager is not None:
            config = config.replace("127.0.0.1:9093", manager)
        self._write("prometheus.yml", rules.shorten(config, SPEEDUP // 2))
        _, address = self._start_and_wait(
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
        program = _alertmanager()
        if program is None:
            return None
        self._write("alertmanager.yml", rules.shorten(text(Artifact.ALERTMANAGER), SPEEDUP))
        _, address = self._start_and_wait(
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
        return address

    def _write(self, name: str, content: str) -> None:
        (self.directory / name).write_text(content, encoding="utf-8")

    def _start_and_wait(
        self, name: str, command: Sequence[str], where: re.Pattern[str]
    ) -> tuple[subprocess.Popen[bytes], str]:
        """Start a process and wait until its log says where it listens. Raises StartError."""
        process, log = self._start(name, command)
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            found = where.search(log.read_text(encoding="utf-8"))
            if found is not None and (where is _NATS or _is_listening(found[1])):
                return process, found[1]
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
                start_new_session=True,  # Ctrl-C must reach only us, who end them in order
            )
        self._running.callback(_end, process)
        return process, log


def _environment(directory: Path) -> dict[str, str]:
    """Our environment without QCFEED_ variables and terminal settings."""
    foreign = ("COLUMNS", "LINES", "FORCE_COLOR")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in foreign and not name.startswith("QCFEED_")
    }
    empty = directory / "config.toml"
    empty.touch()
    return kept | {"QCFEED_CONFIG": str(empty), "NO_COLOR": "1"}


def missing() -> list[str]:
    """The programs of a rehearsal that are not installed."""
    there = {"Prometheus": shutil.which("prometheus"), "Alertmanager": _alertmanager()}
    return [name for name, program in there.items() if program is None]


def _alertmanager() -> str | None:
    return shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_listening(address: str) -> bool:
    """Whether the process is ready for HTTP requests. A feeder has no page at ``/``; what starts yet says 503."""
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == http.HTTPStatus.NOT_FOUND
    except OSError:
        return False


@contextlib.contextmanager
def processes(directory: Path, instance: str) -> Iterator[Processes]:
    """Processes that are ended when the block is left."""
    running = Processes(directory, instance)
    try:
        yield running
    finally:
        running.close()
