"""Feeders and gateways as whole processes on a real NATS server, and a subscriber that checks order."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection

from tests.support.nats_server import nats_server
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, until
from tests.support.websockets_client import connect


class Process(Serving):
    """A running feeder or gateway."""

    def __init__(self, home: Path, process: subprocess.Popen[str]) -> None:
        super().__init__(process)
        self.home = home
        self.instance = ""

    def status(self) -> dict[str, Any]:
        answer = qcfeed(self.home, "--instance", self.instance, "status", "-o", "json")
        assert answer.stdout, answer.stderr
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    @property
    def cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status()["cluster"]
        return found

    @property
    def balance(self) -> str:
        """The last line of its talk: the ledger's balance."""
        [line] = [each for each in self.talk if each.startswith("ledger: ")]
        return line

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def process(
    home: Path, name: str, *args: str, before: Sequence[str] = (), **variables: str
) -> Iterator[Process]:
    """``before``: a command that runs it, for example in a network namespace."""
    started = subprocess.Popen(
        [*before, QCFEED, "--instance", name, *args],
        env=environment(home) | variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = Process(home, started)
    found.instance = name
    try:
        found.hear("control ")
        yield found
    finally:
        found.end()
        assert started.stderr is not None
        started.stderr.close()


def feeder(
    home: Path, name: str, to: str, *args: str, before: Sequence[str] = (), **variables: str
) -> contextlib.AbstractContextManager[Process]:
    return process(
        home,
        name,
        *("feeder", "--no-monitor", "--to", to, "--upstream", "sim:?rate=50"),
        *args,
        before=before,
        **variables,
    )


def gateway(
    home: Path, name: str, at: str, *args: str, before: Sequence[str] = (), **variables: str
) -> contextlib.AbstractContextManager[Process]:
    return process(
        home,
        name,
        *("serve", "--no-monitor", "--port", "0", "--upstream", at),
        *args,
        before=before,
        **variables,
    )


@contextlib.contextmanager
def feeding(home: Path, *args: str) -> Iterator[str]:
    """A NATS server and a feeder, in a home of their own; the server's URL."""
    home.mkdir(exist_ok=True)
    with (
        nats_server(home / "n1") as nats,
        feeder(home, "f1", nats.url, "--lease", "1", "--linger", "1", *args),
    ):
        yield nats.url


def find_owner(*feeders: Process) -> Process:
    """The feeder that owns the lease, once one does."""
    found: list[Process] = []

    def owned() -> bool:
        found[:] = [each for each in feeders if each.cluster["lease_epoch"] is not None]
        return (
            len(found) == 1
        )  # during a handover, the one that was asked first may seem to own it too

    until(owned, "one owner")
    return found[0]


def until_fenced(feeder: Process, epoch: int) -> None:
    """Wait until this feeder no longer owns its share in ``epoch``, and the feeds of that time have ended.

    On a busy machine it may have become the owner again, in a later epoch.
    """

    def is_fenced() -> bool:
        status = feeder.status()
        owned = status["cluster"]["lease_epoch"]
        return owned != epoch and (owned is not None or status["feed_count"] == 0)

    until(is_fenced, f"{feeder.instance} to end its feeds")


class Watcher:
    """A subscriber of one symbol. It fails on any quote that is older than one it has seen."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.last = (0, 0, 0)
        """The revision, life and ``seq`` of the last quote."""
        self.missing = 0
        """Quotes that no message accounts for."""
        self.states: list[str] = []

    def quote(self, *, above: int = 0) -> tuple[int, int, int]:
        """The next quote of an epoch above ``above``."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message["type"] == "status":
                self.states.append(message["state"])
            elif message["type"] == "quote":
                self._note(message)
                if self.last[0] > above:
                    return self.last
        raise AssertionError(f"no quote of an epoch above {above}, but of {self.last}")

    def until_state(self, state: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while state not in self.states:
            assert time.monotonic() < deadline, f"not {state}, but {self.states}"
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message["type"] == "status":
                self.states.append(message["state"])
            elif message["type"] == "quote":
                self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        revision, life = map(int, message["epoch"].split("."))
        now = (revision, life, message["seq"])
        assert now > self.last, f"a quote older than one already seen: {now} after {self.last}"
        if now[:2] == self.last[:2]:
            skipped = message.get("conflated", 0) + message.get("dropped", 0)
            self.missing += now[2] - self.last[2] - 1 - skipped
        self.last = now


def agree(one: Watcher, other: Watcher) -> None:
    """Read until the last quotes of both are of the same owner; a busy machine may change it again."""
    deadline = time.monotonic() + PATIENCE
    while one.last[0] != other.last[0]:
        assert time.monotonic() < deadline, f"{one.last} and {other.last}"
        min(one, other, key=lambda each: each.last[0]).quote()


@contextlib.contextmanager
def watching(gateway: Process, symbol: str = "AAPL") -> Iterator[Watcher]:
    with connect(f"{gateway.url}/quotes/{symbol}") as socket:
        yield Watcher(socket)


def end_well(*processes: Process) -> None:
    """Every process stops by itself, with a balanced ledger and nothing left."""
    for each in processes:
        assert each.end() == 0, "".join(each.talk)
        assert "; 0 live" in each.balance
