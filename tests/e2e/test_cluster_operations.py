"""``qcfeed --cluster`` over a real NATS server whose permissions tell operators from services."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qcfeed.errors import ExitStatus
from tests.support.nats_cluster import Process, feeder, gateway
from tests.support.nats_server import NatsServer, nats_server, needs_nats
from tests.support.patience import PATIENCE
from tests.support.shell import qcfeed, until
from tests.support.websockets_client import connect

pytestmark = needs_nats
pytest.importorskip(
    "nats", reason="the NATS client is not installed: pip install 'qcfeed[cluster]'"
)

CONFIG = (Path(__file__).parents[2] / "deploy" / "nats.conf").read_text()
AUTHORIZATION = CONFIG[CONFIG.index("authorization") :]
SERVICE, OPERATOR = "service-password", "operator-password"


class Cluster(NamedTuple):
    server: NatsServer
    home: Path
    gateway: Process

    def ask(self, *command: str, user: str = "operator") -> subprocess.CompletedProcess[str]:
        password = OPERATOR if user == "operator" else SERVICE
        return qcfeed(
            self.home, "--cluster", "--timeout", "5", *command,
            QCFEED_CLUSTER_SERVERS=self.server.url, QCFEED_NATS_USER=user,
            QCFEED_NATS_PASSWORD=password,
        )  # fmt: skip

    def json(self, *command: str) -> Any:
        done = self.ask(*command, "-o", "json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("cluster")
    config = AUTHORIZATION.replace("$QCFEED_NATS_PASSWORD", SERVICE)
    config = config.replace("$QCFEED_OPERATOR_PASSWORD", OPERATOR)
    login = {"QCFEED_NATS_USER": "qcfeed", "QCFEED_NATS_PASSWORD": SERVICE}
    with (
        nats_server(home / "nats", config) as server,
        feeder(home, "feeder", server.url, "--nats-operators", "act", **login),
        gateway(home, "gateway", server.url, **login) as serving,
    ):
        yield Cluster(server, home, serving)


def names(answers: Any) -> list[str]:
    return sorted(each["member"].partition("@")[0] for each in answers["answers"])


def everybody_answers(cluster: Cluster, command: str) -> bool:
    """In the time that a command has; a busy machine may need longer."""
    answers = cluster.json(*command.split())
    return names(answers) == ["feeder", "gateway"] and answers["unanswered"] == []


def is_sound(cluster: Cluster, command: str) -> bool:
    return cluster.ask(command).returncode == ExitStatus.OK


def test_every_instance_answers_an_operator(cluster: Cluster) -> None:
    with connect(f"{cluster.gateway.url}/quotes/AAPL") as reader:
        assert json.loads(reader.recv(timeout=PATIENCE))["symbol"] == "AAPL"
        for command in ("status", "feeds", "tasks --by-location", "subscribers"):
            until(partial(everybody_answers, cluster, command), f"every answer to {command}")
        for command in ("diagnose", "orphans"):
            until(partial(is_sound, cluster, command), f"{command} to find nothing")


def test_a_service_cannot_ask_and_nobody_can_without_a_password(cluster: Cluster) -> None:
    refused = cluster.ask("status", user="qcfeed")
    assert refused.returncode == ExitStatus.UNREACHABLE
    assert "permissions violation" in refused.stderr.lower()
    stranger = qcfeed(
        cluster.home, "--cluster", "status", QCFEED_CLUSTER_SERVERS=cluster.server.url
    )
    assert stranger.returncode == ExitStatus.UNREACHABLE
    assert "authorization violation" in stranger.stderr.lower()


def test_an_instance_that_is_stopped_is_named(cluster: Cluster) -> None:
    until(lambda: names(cluster.json("status")) == ["feeder", "gateway"], "both")
    cluster.gateway.process.send_signal(signal.SIGSTOP)
    try:
        done = cluster.ask("status")
        assert done.returncode == ExitStatus.FINDINGS
        assert "no answer: gateway@" in done.stderr
        assert "and did not answer within 5 s" in done.stderr
    finally:
        cluster.gateway.process.send_signal(signal.SIGCONT)


def test_only_an_instance_that_was_started_for_it_takes_actions(cluster: Cluster) -> None:
    from qcfeed.cluster.asker import Asker
    from qcfeed.cluster.core.operations import ClusterRequest
    from qcfeed.config import NatsConfig

    asker = Asker(
        [cluster.server.url], NatsConfig(nats_user="operator", nats_password=OPERATOR), PATIENCE
    )
    until(lambda: names(cluster.json("status")) == ["feeder", "gateway"], "both")
    acting, reading = sorted(each["member"] for each in cluster.json("status")["answers"])
    taken = asker.act(acting, ClusterRequest("/v1/orphans/reap"))
    assert json.loads(taken.answers[acting][1])["cancelled"] == 0
    audit = next(cluster.home.rglob("feeder.audit.jsonl")).read_text()
    assert '"via":"nats"' in audit
    # There is no answer to wait for.
    short = Asker([cluster.server.url], NatsConfig(nats_user="operator", nats_password=OPERATOR), 1)
    refused = short.act(reading, ClusterRequest("/v1/orphans/reap"))
    assert "--nats-operators act" in refused.silent[reading]
    forbidden = asker.act(acting, ClusterRequest("/v1/drills/start"))
    assert forbidden.answers[acting][0] == 403


def test_a_broker_that_is_away_is_one_clear_error(cluster: Cluster, tmp_path: Path) -> None:
    done = qcfeed(
        tmp_path, "--cluster", "status", QCFEED_CLUSTER_SERVERS="nats://127.0.0.1:1",
    )  # fmt: skip
    assert done.returncode == ExitStatus.UNREACHABLE
    assert "cannot connect to nats://127.0.0.1:1" in done.stderr
