"""Two gateways and two feeders as real processes on a real NATS server, and what may happen to each.

After every fault: no quote older than one already seen, no task left, every ledger balanced.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.metrics.catalog.metrics import OF_FEEDERS, OF_GATEWAYS
from tests.support.fake_clock import clock_off_by, needs_faketime
from tests.support.nats_cluster import (
    Process,
    agree,
    end_well,
    feeder,
    find_owner,
    gateway,
    until_fenced,
    watching,
)
from tests.support.nats_server import NatsServer, nats_server, needs_nats
from tests.support.patience import PATIENCE
from tests.support.shell import until

pytestmark = needs_nats

LEASE = 1.5
SHORT = ("--lease", str(LEASE), "--linger", "2")


class Setup:
    def __init__(self, nats: NatsServer, feeders: list[Process], gateways: list[Process]) -> None:
        self.nats, self.feeders, self.gateways = nats, feeders, gateways

    @property
    def owner(self) -> Process:
        return find_owner(*(each for each in self.feeders if each.process.poll() is None))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """One NATS server and two gateways for all tests of this file; each test starts its feeders."""
    home = tmp_path_factory.mktemp("nats")
    with (
        nats_server(home / "n1") as nats,
        gateway(home, "g1", nats.url, "--linger", "1", "--stale-after", "1") as g1,
        gateway(home, "g2", nats.url, "--linger", "1") as g2,
    ):
        yield Setup(nats, [], [g1, g2])
        end_well(g1, g2)


@pytest.fixture
def cluster(running: Setup, tmp_path: Path) -> Iterator[Setup]:
    with (
        feeder(tmp_path, "f1", running.nats.url, *SHORT) as f1,
        feeder(tmp_path, "f2", running.nats.url, *SHORT) as f2,
    ):
        yield Setup(running.nats, [f1, f2], running.gateways)


def exposed(process: Process) -> set[str]:
    """The metrics about the cluster at the process's /metrics."""
    address = process.status()["listening"]["admin"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    found = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    return found & {each.name for each in (*OF_FEEDERS, *OF_GATEWAYS)}


async def delete_bucket(url: str) -> None:
    import nats
    from nats.js.errors import NotFoundError

    client = await nats.connect(url)
    with contextlib.suppress(NotFoundError):  # another test has deleted it
        await client.jetstream().delete_key_value("qcfeed-leases")
    await client.close()


def test_quotes_flow_and_a_killed_owner_is_replaced_within_its_lease_and_2_s(
    cluster: Setup,
) -> None:
    g1, g2 = cluster.gateways
    with watching(g1) as one, watching(g2, "BRK.B") as other:
        one.quote()
        other.quote()
        owner = cluster.owner
        first = one.last[0]
        until(lambda: owner.cluster["gateways"] == 2, "both gateways answer")
        until(lambda: owner.cluster["symbols_wanted"] == 2, "both symbols are wanted")
        assert exposed(owner) == {each.name for each in OF_FEEDERS}
        assert exposed(g1) == {each.name for each in OF_GATEWAYS}
        began = time.monotonic()
        owner.kill()
        assert one.quote(above=first)[0] > first
        took = time.monotonic() - began
        other.quote(above=first)
        agree(one, other)
        assert one.missing == other.missing == 0
    # A busy machine may hold a process up, but not the other half of the patience.
    assert took < LEASE + 2 + PATIENCE / 2, f"{took:.1f} s"
    end_well(*(each for each in cluster.feeders if each is not owner))


def test_a_stopped_owner_publishes_nothing_more_under_its_old_epoch_when_it_goes_on(
    cluster: Setup,
) -> None:
    with watching(cluster.gateways[0]) as watcher:
        watcher.quote()
        owner = cluster.owner
        first = watcher.last[0]
        owner.process.send_signal(signal.SIGSTOP)
        watcher.quote(above=first)
        second = watcher.last[0]
        owner.process.send_signal(signal.SIGCONT)
        until_fenced(owner, first)
        for _ in range(20):
            watcher.quote()  # none of them older: the watcher checks it
        assert watcher.last[0] >= second
    end_well(*cluster.feeders)


def test_the_broker_goes_and_comes_back(cluster: Setup) -> None:
    g1, _ = cluster.gateways
    with watching(g1) as watcher:
        watcher.quote()
        first = watcher.last[0]
        cluster.nats.stop(kill=True)
        watcher.until_state("stale")
        until(lambda: not g1.status()["upstream_connected"], "the gateway says so")
        for each in cluster.feeders:
            until_fenced(each, first)
            assert each.cluster["lease_epoch"] is None, "nobody can own a lease"
        cluster.nats.start()
        assert watcher.quote(above=first)[0] > first
        assert watcher.missing == 0
        assert g1.cluster["reconnects"] >= 1
    end_well(*cluster.feeders)


def test_a_deleted_bucket_is_created_again_with_higher_epochs(cluster: Setup) -> None:
    with watching(cluster.gateways[0]) as watcher:
        watcher.quote()
        first = watcher.last[0]
        asyncio.run(delete_bucket(cluster.nats.url))
        assert watcher.quote(above=first)[0] > first
    end_well(*cluster.feeders)


@needs_faketime
def test_a_feeder_whose_clock_is_an_hour_behind_creates_the_bucket_again_with_higher_epochs(
    running: Setup, tmp_path: Path
) -> None:
    """It has seen no epoch, and the time that it would begin with is lower: the gateways tell it."""
    g1, g2 = running.gateways
    asyncio.run(delete_bucket(running.nats.url))
    with (
        feeder(tmp_path, "f1", running.nats.url, *SHORT, **clock_off_by(3_600)) as f1,
        watching(g1) as watcher,
        watching(g2, "BRK.B") as other,
    ):
        other.quote()
        first = watcher.quote()[0]
        assert first > (time.time() + 3_000) * 1e6
        f1.kill()
        asyncio.run(delete_bucket(running.nats.url))
        with feeder(tmp_path, "f2", running.nats.url, *SHORT) as f2:
            assert watcher.quote(above=first)[0] > first
            assert other.quote(above=first)[0] > first
            assert find_owner(f2).cluster["lease_epoch"] == watcher.last[0]
            assert "which is above this owner's" in f2.hear("has seen epoch")
            end_well(f2)


def test_feeders_that_cannot_renew_stop_publishing(cluster: Setup) -> None:
    """JetStream has no room any more."""

    async def fill(full: bool) -> None:
        import nats
        from nats.js import api, errors

        client = await nats.connect(cluster.nats.url)
        js = client.jetstream()
        if full:
            await js.add_stream(api.StreamConfig(name="filler", subjects=["fill"], max_bytes=-1))
            try:
                while True:
                    await js.publish("fill", bytes(900_000))
            except errors.APIError as error:
                assert "resources" in str(error.description), error.description  # noqa: PT017
        else:
            await js.delete_stream("filler")
        await client.close()

    with watching(cluster.gateways[0]) as watcher:
        watcher.quote()
        owner, first = cluster.owner, watcher.last[0]
        asyncio.run(fill(True))
        watcher.until_state("stale")
        until_fenced(owner, first)

        def is_told() -> bool:
            found = owner.cluster
            return found["renewals_missed"] > 0 and "JetStream refused" in (found["problem"] or "")

        until(is_told, "why it cannot renew its lease")
        asyncio.run(fill(False))
        assert watcher.quote(above=first)[0] > first
    end_well(*cluster.feeders)


def test_a_graceful_stop_hands_over_without_waiting_for_the_lease(cluster: Setup) -> None:
    with watching(cluster.gateways[0]) as watcher:
        watcher.quote()
        owner, first = cluster.owner, watcher.last[0]
        end_well(owner)
        watcher.quote(above=first)
        assert watcher.missing == 0
    end_well(*(each for each in cluster.feeders if each is not owner))
