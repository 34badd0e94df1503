"""A feeder that ends hands its share over at once, also while its upstream still closes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import Sequence
from pathlib import Path

from qcfeed.cluster.feeder import Feeder
from qcfeed.cluster.gateway import NatsUpstream
from qcfeed.config import Config, FeederConfig, NatsConfig
from qcfeed.model.encoded import EncodedQuote
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.server.hub import Hub
from qcfeed.upstreams.base import Sink
from tests.support.nats_cluster import Process
from tests.support.nats_cluster import feeder as feeder_process
from tests.support.nats_server import nats_server, needs_nats
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import ScriptedUpstream, steadily
from tests.support.shell import until

AAPL = Symbol("AAPL")
LEASE = 2 * PATIENCE
"""Seconds, so that no lease ends by its time here."""


class GatewaysSink:
    """Of a gateway's feed: the revisions of the owners whose quotes it got."""

    def __init__(self) -> None:
        self.revisions: list[int] = []
        self._relayed = asyncio.Event()

    async def other_than(self, revisions: Sequence[int]) -> None:
        """Wait for a quote of another owner."""
        while not set(self.revisions) - set(revisions):
            self._relayed.clear()
            await self._relayed.wait()

    def relay(self, quotes: Sequence[EncodedQuote], epoch: str) -> None:
        assert quotes
        self.revisions.append(int(epoch.partition(".")[0]))
        self._relayed.set()

    def opened(self) -> None: ...

    def publish(self, ticks: Sequence[Tick]) -> None:
        raise AssertionError(f"a gateway's quotes are encoded already: {ticks}")

    async def ready(self) -> None: ...


def feeder(url: str, upstream: ScriptedUpstream) -> tuple[Feeder, Hub]:
    found = Feeder(FeederConfig(to=url, lease=LEASE), NatsConfig())
    hub = Hub(Config(), upstream, epochs=found.new_epoch)
    found.start(hub)
    return found, hub


@needs_nats
async def test_the_standby_publishes_before_the_upstream_of_the_former_owner_has_closed(
    tmp_path: Path,
) -> None:
    may_close = asyncio.Event()

    async def closes_slowly(sink: Sink) -> None:
        try:
            await steadily(sink)
        finally:
            await may_close.wait()

    with nats_server(tmp_path / "n1") as nats:
        async with asyncio.timeout(PATIENCE):
            slow = ScriptedUpstream(closes_slowly)
            first, _ = feeder(nats.url, slow)
            assert await first.wait_informed(PATIENCE)
            second, hub = feeder(nats.url, ScriptedUpstream())
            assert await second.wait_informed(PATIENCE)
            assert (first.lease.epoch, second.lease.epoch) == (first.lease.highest, None)
            gateway, sink = NatsUpstream([nats.url], NatsConfig()), GatewaysSink()
            reading = asyncio.create_task(gateway.run(AAPL, sink))
            await sink.other_than(())

            stopping = asyncio.create_task(first.stop())
            await sink.other_than(sink.revisions[:1])
            assert slow.alive[AAPL] == 1, "the upstream of the former owner is still open"
            assert not stopping.done()
            assert not reading.done(), "the gateway kept its feed"
            assert sink.revisions == sorted(sink.revisions)
            assert sink.revisions[-1] == second.lease.epoch
            assert set(hub.feeds) == {AAPL}

            may_close.set()
            await stopping
            assert slow.alive[AAPL] == 0
            reading.cancel()
            await asyncio.wait((reading,))
            await gateway.close()
            await second.stop()


@needs_nats
def test_a_feeder_is_ready_once_it_knows_the_owner(tmp_path: Path) -> None:
    def address_of(process: Process) -> str:
        address: str = process.status()["listening"]["admin"]
        return address

    def ready(address: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(address, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return answer.status, answer.read().decode().strip()

    with nats_server(tmp_path / "n1") as nats:
        nats.stop()
        with feeder_process(tmp_path, "f1", nats.url) as one:
            first = address_of(one)
            assert ready(first) == (503, "starting: the owner of the share is not known yet")
            nats.start()
            until(lambda: ready(first) == (200, "ready (owner)"), "it owns the share")
            with feeder_process(tmp_path, "f2", nats.url) as two:
                second = address_of(two)
                until(lambda: ready(second) == (200, "ready (standby)"), "it stands by")
