"""``qcfeed --cluster orphans [--reap]``: each difference between the views, planted in real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from qcfeed.errors import ExitStatus
from tests.support.nats_cluster import Process, feeder, find_owner, gateway, watching
from tests.support.nats_server import nats_server, needs_nats
from tests.support.patience import PATIENCE
from tests.support.shell import qcfeed, until

pytestmark = needs_nats
pytest.importorskip(
    "nats", reason="the NATS client is not installed: pip install 'qcfeed[cluster]'"
)

LEASE = 30
"""Seconds: far longer than two looks take on a busy machine."""
ACT = ("--nats-operators", "act")


class Cluster(NamedTuple):
    url: str
    home: Path
    feeders: list[Process]
    gateway: Process

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return qcfeed(
            self.home, "--cluster", "--timeout", "5", *command, QCFEED_CLUSTER_SERVERS=self.url
        )

    def orphans(self) -> list[dict[str, Any]]:
        done = self.ask("orphans", "-o", "json")
        found: list[dict[str, Any]] = json.loads(done.stdout)["orphans"]
        assert done.returncode == (ExitStatus.FINDINGS if found else ExitStatus.OK), done.stderr
        return found

    def until_orphan(self, kind: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def is_told() -> bool:
            found[:] = [each for each in self.orphans() if each["kind"] == kind]
            return bool(found)

        until(is_told, kind)
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("orphans")
    with contextlib.ExitStack() as parts:
        server = parts.enter_context(nats_server(home / "nats"))
        feeders = [
            parts.enter_context(feeder(home, name, server.url, "--lease", f"{LEASE}", "--linger", "1", *ACT))
            for name in ("f1", "f2")
        ]  # fmt: skip
        serving = parts.enter_context(
            gateway(home, "g", server.url, "--allow-drills", "--linger", "1", *ACT)
        )
        find_owner(*feeders)
        yield Cluster(server.url, home, feeders, serving)


@contextlib.contextmanager
def stranger(url: str, symbol: str) -> Iterator[None]:
    """A client of NATS that is no gateway, and has the owner run this symbol."""
    import nats

    with asyncio.Runner() as runner:
        client = runner.run(nats.connect(url))
        try:
            runner.run(client.subscribe(f"qc.q.{symbol}"))
            runner.run(client.request(f"qc.get.{symbol}", b"", timeout=PATIENCE))
            yield
        finally:
            runner.run(client.close())


def test_a_feed_that_no_gateway_wants_is_told_and_ended_only_in_the_life_that_was_told(
    cluster: Cluster,
) -> None:
    from qcfeed.cluster.asker import Asker
    from qcfeed.cluster.core.operations import ClusterRequest
    from qcfeed.config import NatsConfig

    def reap(orphan: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"feeds": {orphan["symbol"]: orphan["epoch"]}}).encode()
        asker = Asker([cluster.url], NatsConfig(), PATIENCE)
        request = ClusterRequest("/v1/cluster/reap", body=msgspec.Raw(body))
        answer = json.loads(asker.act(orphan["member"], request).answers[orphan["member"]][1])
        found: dict[str, Any] = answer
        return found

    def unwanted() -> int:
        count: int = find_owner(*cluster.feeders).cluster["feeds_without_interest"]
        return count

    with stranger(cluster.url, "TSLA"):
        older = cluster.until_orphan("feed without gateway")
        assert older["symbol"] == "TSLA"
        assert "a subscriber on NATS that is no gateway keeps it" in older["reason"]
        until(lambda: unwanted() == 1, "the owner counts it")
        done = cluster.ask("orphans", "--reap")
        assert done.returncode == ExitStatus.OK, done.stderr
        assert "ended TSLA" in done.stderr
    with stranger(cluster.url, "TSLA"):
        newer = cluster.until_orphan("feed without gateway")
        assert newer["epoch"] != older["epoch"]
        [refused] = reap(older)["refusals"]
        assert "it has begun another life since" in refused["why"]
        with watching(cluster.gateway, "TSLA") as watcher:
            watcher.quote()
            until(lambda: reap(newer)["refusals"], "a gateway wants it now")
            assert reap(newer)["refusals"][0]["why"] == "a gateway wants it again"
            watcher.quote()
            until(lambda: unwanted() == 0, "the gateway's answer")
    until(lambda: cluster.orphans() == [], "no orphan")


def test_a_subscription_that_outlives_its_subscribers_is_told_and_ended(cluster: Cluster) -> None:
    started = qcfeed(cluster.home, "--instance", "g", "drill", "start", "leaked-interest")
    assert started.returncode == ExitStatus.OK, started.stderr
    with watching(cluster.gateway, "MSFT") as watcher:
        watcher.quote()
        until(lambda: cluster.gateway.cluster["subscriptions_unread"] == 1, "the leak")
    # A connection without feeds is closed, so another symbol keeps it.
    with watching(cluster.gateway, "AAPL") as watcher:
        watcher.quote()
        told = qcfeed(cluster.home, "--instance", "g", "status")
        assert "`qcfeed --cluster orphans --reap`" in told.stderr
        done = cluster.ask("orphans", "--reap")
        assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
        assert "subscription without subscribers" in done.stdout
        qcfeed(cluster.home, "--instance", "g", "drill", "stop")
        until(lambda: cluster.orphans() == [], "no orphan")
        watcher.quote()


def test_what_does_not_answer_makes_the_answer_incomplete(cluster: Cluster) -> None:
    cluster.gateway.process.send_signal(signal.SIGSTOP)
    try:
        done = cluster.ask("orphans")
    finally:
        cluster.gateway.process.send_signal(signal.SIGCONT)
    assert done.returncode == ExitStatus.FINDINGS
    assert "no answer: g@" in done.stderr
    assert "INCOMPLETE" in done.stderr
    assert "agree" not in done.stderr


def test_the_lease_of_a_killed_feeder_is_told_and_ended_so_that_its_standby_takes_over(
    cluster: Cluster,
) -> None:
    owner = find_owner(*cluster.feeders)
    [standby] = [each for each in cluster.feeders if each is not owner]
    owner.kill()

    # Through the control sockets, which do not wait for an instance that is gone.
    def is_told() -> bool:
        done = qcfeed(cluster.home, "--cluster", "orphans", "--reap")
        told.append(done.stdout + done.stderr)
        return "lease without feeder" in done.stdout

    told: list[str] = []
    until(is_told, "the lease")
    assert "f2: ended share 1/1" in told[-1] or "f1: ended share 1/1" in told[-1], told[-1]
    until(lambda: standby.cluster["lease_epoch"] is not None, "the standby")
