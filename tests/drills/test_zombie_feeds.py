"""The incident of 2024-03-20 with 47,829 orphans: found, located and reaped while subscribers are served.

Everything goes through the real command line against a real service.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qcfeed.drills.zombies
from qcfeed.client.gaps import GapDetector
from qcfeed.errors import ExitStatus
from qcfeed.model import messages
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, serving
from tests.support.shell import qcfeed as run

ZOMBIES = 47_829
SYMBOLS = ("AAPL", "MSFT", "GOOGL")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def service(home: Path) -> Iterator[Serving]:
    upstream = ("--upstream", "sim:?rate=50", "--linger", "0.5")
    with serving(home, "--drill", f"zombie-feeds={ZOMBIES}", *upstream) as service:
        service.hear("zombies are alive")
        yield service


class Watching:
    """A live subscriber: `qcfeed watch`, with its output line by line."""

    def __init__(self, home: Path) -> None:
        command = [QCFEED, "watch", "-o", "json", *SYMBOLS]
        self.process = subprocess.Popen(
            command,
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.quotes: list[messages.Quote] = []

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def take(self, count: int) -> None:
        """Wait for ``count`` more quotes."""
        while count:
            message = messages.decode(self._lines.get(timeout=PATIENCE))
            if isinstance(message, messages.Quote):
                self.quotes.append(message)
                count -= 1

    def end(self) -> str:
        self.process.terminate()
        _, talk = self.process.communicate(timeout=PATIENCE)
        self._reader.join(PATIENCE)
        return talk


@pytest.fixture
def watching(service: Serving, home: Path) -> Iterator[Watching]:
    watching = Watching(home)
    watching.take(len(SYMBOLS) * 3)
    yield watching
    watching.end()


def answer(home: Path, *args: str, status: ExitStatus) -> dict[str, Any]:
    completed = run(home, *args, "-o", "json")
    assert completed.returncode == status, completed.stderr
    return json.loads(completed.stdout)


def spawning_line() -> int:
    """The line of the drill that drops the task's handle."""
    lines = Path(qcfeed.drills.zombies.__file__).read_text().splitlines()
    [line] = [n for n, text in enumerate(lines, 1) if "_generate_quotes(subscriber))" in text]
    return line


def test_the_incident_is_found_located_and_reaped(
    service: Serving, watching: Watching, home: Path
) -> None:
    guilty = f"qcfeed/drills/zombies.py:{spawning_line()}"

    counted = answer(home, "tasks", "--by-location", status=ExitStatus.OK)
    worst = counted["locations"][0]
    assert worst["location"] == guilty
    assert worst["orphaned"] == ZOMBIES
    assert worst["live"] == ZOMBIES + len(SYMBOLS), "the drill's tasks for who is still there"
    others = [row for row in counted["locations"] if row["location"] != guilty]
    assert sum(row["orphaned"] for row in others) == 0
    for row in counted["locations"]:
        ended = row["finished"] + row["cancelled"] + row["failed"] + row["destroyed"]
        assert row["spawned"] == row["live"] + ended

    assert answer(home, "status", status=ExitStatus.FINDINGS)["drill"] == f"zombie-feeds={ZOMBIES}"

    found = answer(home, "orphans", status=ExitStatus.FINDINGS)
    assert found["total"] == ZOMBIES
    assert {each["location"] for each in found["orphans"]} == {guilty}
    assert "closed" in found["orphans"][0]["reason"]

    patient = ("--timeout", "100")  # 5 s are enough only where the service has a processor
    reaped = answer(home, *patient, "orphans", "--reap", status=ExitStatus.OK)
    assert (reaped["cancelled"], reaped["survivors"], reaped["failed"]) == (ZOMBIES, [], 0)

    assert answer(home, "orphans", status=ExitStatus.OK)["total"] == 0
    after = answer(home, "tasks", "--by-location", status=ExitStatus.OK)
    assert after["locations"][0]["live"] == len(SYMBOLS), "nothing else was touched"

    watching.take(len(SYMBOLS) * 25)
    detector = GapDetector()
    assert [gap for quote in watching.quotes if (gap := detector.check(quote))] == []
    assert {quote.symbol for quote in watching.quotes} == set(SYMBOLS)
    assert not any(quote.conflated for quote in watching.quotes)

    log = [json.loads(line) for line in audit_log(home).read_text().splitlines()]
    began, audited = log[:2], log[2:]
    assert [line["action"] for line in began] == ["drill start"] * 2
    assert [line["action"] for line in audited] == ["orphans.reap"] * 2
    assert [line["event"] for line in audited] == ["intent", "outcome"]
    assert audited[0]["who"]["uid"] == os.getuid()
    assert audited[1]["after"]["cancelled"] == ZOMBIES

    watching.end()
    assert service.end() == ExitStatus.OK
    assert "; 0 live" in service.talk[-1]


def audit_log(home: Path) -> Path:
    [log] = (home / "qcfeed").glob("*.audit.jsonl")
    return log


def test_the_reproduction_fails_on_the_incident(home: Path) -> None:
    with serving(home, "--drill", "zombie-feeds", "--linger", "0.2"):
        args = ("repro", "--mode", "clean", "--cycles", "20", "--settle", "2")
        left = answer(home, *args, status=ExitStatus.FINDINGS)
    assert left["flat"] is False
    assert left["modes"][0]["difference"]["orphaned"] == 40, "20 cycles after as many to warm up"
