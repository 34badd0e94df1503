"""``qcfeed --cluster orphans``: subscribers whose owner is gone, in real processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcfeed.errors import ExitStatus
from tests.support.nats_cluster import feeder, gateway, watching
from tests.support.nats_server import nats_server, needs_nats
from tests.support.shell import qcfeed, until

pytestmark = needs_nats
pytest.importorskip(
    "nats", reason="the NATS client is not installed: pip install 'qcfeed[cluster]'"
)

SHORT = ("--lease", "1", "--linger", "1")


def orphans(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return qcfeed(home, "--cluster", "--timeout", "5", "orphans", *args)


def kinds(home: Path) -> list[tuple[str, str]]:
    found: list[dict[str, Any]] = json.loads(orphans(home, "-o", "json").stdout)["orphans"]
    return [(each["kind"], each["symbol"]) for each in found]


def told(home: Path, kind: str, symbol: str) -> Callable[[], bool]:
    return lambda: (kind, symbol) in kinds(home)


def test_subscribers_without_an_owner_are_told_and_never_reaped(tmp_path: Path) -> None:
    with (
        nats_server(tmp_path / "nats") as server,
        gateway(tmp_path, "g", server.url, "--linger", "1") as serving,
        feeder(tmp_path, "f1", server.url, *SHORT) as first,
        watching(serving) as watcher,
    ):
        watcher.quote()
        first.kill()
        until(told(tmp_path, "interest without feed", "AAPL"), "the interest without feed")
        done = orphans(tmp_path, "--reap")
        assert "ended AAPL" not in done.stderr
        assert done.returncode == ExitStatus.FINDINGS, "nothing here repairs it"
        assert ("interest without feed", "AAPL") in kinds(tmp_path), "its subscribers are kept"
        with feeder(tmp_path, "f2", server.url, *SHORT):
            watcher.quote(above=watcher.last[0])
            until(lambda: kinds(tmp_path) == [], "no orphan")
