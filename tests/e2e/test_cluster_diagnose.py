"""``qcfeed --cluster diagnose``: each rule, with the real thing between real processes."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qcfeed.errors import ExitStatus
from tests.support.nats_cluster import Process, feeder, find_owner, gateway, watching
from tests.support.nats_server import NatsServer, nats_server, needs_nats
from tests.support.shell import qcfeed, until

pytestmark = needs_nats
pytest.importorskip(
    "nats", reason="the NATS client is not installed: pip install 'qcfeed[cluster]'"
)


class Cluster(NamedTuple):
    home: Path
    server: NatsServer
    feeder: Process
    gateway: Process

    def findings(self) -> dict[str, dict[str, Any]]:
        """By rule, the first finding."""
        done = qcfeed(self.home, "--cluster", "--timeout", "2", "diagnose", "-o", "json")
        found = json.loads(done.stdout)["findings"]
        assert done.returncode == (ExitStatus.FINDINGS if found else ExitStatus.OK)
        return {each["rule"]: each for each in reversed(found)}

    def until_told(self, rule: str) -> dict[str, Any]:
        told: dict[str, dict[str, Any]] = {}

        def is_told() -> bool:
            told.clear()
            told.update(self.findings())
            return rule in told

        until(is_told, f"{rule}: {told}")
        return told[rule]

    @contextlib.contextmanager
    def drill(self, name: str, instance: str) -> Iterator[None]:
        started = qcfeed(self.home, "--instance", instance, "drill", "start", name)
        assert started.returncode == ExitStatus.OK, started.stderr
        yield
        qcfeed(self.home, "--instance", instance, "drill", "stop")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with (
        nats_server(tmp_path / "nats") as server,
        feeder(tmp_path, "f", server.url, "--lease", "1", "--allow-drills") as feeding,
        gateway(tmp_path, "g", server.url, "--allow-drills") as serving,
        watching(serving) as reader,
    ):
        reader.quote()
        yield Cluster(tmp_path, server, feeding, serving)


def test_faults_between_sound_processes_are_told_and_are_over_when_they_end(
    cluster: Cluster,
) -> None:
    until(lambda: not cluster.findings(), "a healthy cluster")
    with cluster.drill("former-owner", "g"):
        assert cluster.until_told("former owner publishes")["member"] == "g"
    with cluster.drill("slow-gateway", "g"):
        assert "conflated" in cluster.until_told("gateway lags")["what"]
    with cluster.drill("leaked-interest", "g"):
        assert cluster.until_told("interest without subscribers")["member"] == "g"
    with cluster.drill("flapping-upstream", "f"):
        assert cluster.until_told("interest without feed")["member"] == "f"
    cluster.gateway.process.send_signal(signal.SIGSTOP)
    try:
        assert "it cannot be seen" in cluster.findings()["no answer"]["what"]
    finally:
        cluster.gateway.process.send_signal(signal.SIGCONT)
    until(lambda: not cluster.findings(), "a healthy cluster again")


def test_no_owner_and_no_broker_are_told(cluster: Cluster) -> None:
    cluster.feeder.kill()
    assert "none runs" in cluster.until_told("no owner")["what"]
    cluster.server.stop()
    told = cluster.until_told("broker away")
    assert (told["member"], cluster.server.url in told["what"]) == ("g", True)


def test_servers_that_are_no_cluster_give_each_of_two_feeders_the_lease(tmp_path: Path) -> None:
    with nats_server(tmp_path / "a") as one, nats_server(tmp_path / "b") as two:
        first, second = (each.url.partition("://")[2] for each in (one, two))
        with (
            feeder(tmp_path, "f1", f"nats://{first},{second}") as one_feeder,
            feeder(tmp_path, "f2", f"nats://{second},{first}") as other,
            feeder(tmp_path, "f3", f"nats://{first}", "--share", "1/2"),
        ):
            find_owner(one_feeder)
            find_owner(other)
            told = Cluster(tmp_path, one, one_feeder, other).until_told("two owners")
            assert "2 feeders believe they own share 1/1" in told["what"]
