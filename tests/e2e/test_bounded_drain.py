"""SIGTERM ends a process within the drain timeout and a few seconds, whatever its upstream does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from tests.support.nats_cluster import Process, feeder, gateway, process, watching
from tests.support.nats_server import nats_server, needs_nats
from tests.support.shell import until

MODULE = """
import asyncio
from qcfeed.upstreams.base import Upstream

class Stubborn(Upstream):
    name = "stubborn:"

    def knows(self, symbol):
        return True

    def symbols(self):
        return ()

    async def run(self, symbol, sink):
        sink.opened()
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                print("ignored", flush=True)

def connect(url):
    return Stubborn()
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[str]:
    """A PYTHONPATH with a package whose upstream ignores every cancellation."""
    site = tmp_path / "site"
    about = site / "stubborn-1.dist-info"
    about.mkdir(parents=True)
    (site / "stubborn.py").write_text(MODULE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[qcfeed.upstreams]\nstubborn = stubborn:connect\n")
    return f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"


def timed_out(stopped: Process) -> None:
    assert stopped.end() == ExitStatus.TIMED_OUT
    talk = "".join(stopped.talk)
    assert "the drain took longer than 1 s" in talk
    assert "1 still live from qcfeed/server/feed.py" in talk


def test_a_service_does_not_wait_for_a_task_that_ignores_its_cancellation(
    tmp_path: Path, plugin: str
) -> None:
    with (
        process(
            tmp_path, "s", "serve", "--no-monitor", "--port", "0",
            "--upstream", "stubborn:", "--drain-timeout", "1", PYTHONPATH=plugin,
        ) as service,
        watching(service),
    ):  # fmt: skip
        until(lambda: service.status()["feed_count"] == 1, "the feed runs")
        timed_out(service)


@needs_nats
def test_a_feeder_does_not_either(tmp_path: Path, plugin: str) -> None:
    pytest.importorskip(
        "nats", reason="the NATS client is not installed: pip install 'qcfeed[cluster]'"
    )
    with (
        nats_server(tmp_path / "nats") as server,
        feeder(
            tmp_path, "f", server.url, "--lease", "1", "--linger", "1",
            "--upstream", "stubborn:", "--drain-timeout", "1", PYTHONPATH=plugin,
        ) as owner,
        gateway(tmp_path, "g", server.url) as serving,
        watching(serving),
    ):  # fmt: skip
        until(lambda: owner.status()["feed_count"] == 1, "the feed runs")
        timed_out(owner)
