"""`--upstream nats://` keeps the rules of every upstream, with a real server and a real feeder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from qcfeed.upstreams.conformance import UpstreamConformance
from tests.support.nats_cluster import feeder
from tests.support.nats_server import NatsServer, nats_server, needs_nats


@needs_nats
class TestNats(UpstreamConformance):
    symbols = ("AAPL", "BRK.B")
    unknown = "ZZZZ"
    patience = 30.0
    nats: ClassVar[NatsServer]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        home = tmp_path_factory.mktemp("nats")
        with (
            nats_server(home / "n1") as nats,
            feeder(home, "f1", nats.url, "--lease", "1", "--linger", "1"),
        ):
            cls.nats, cls.url = nats, nats.url
            yield

    async def disrupt(self) -> None:
        self.nats.stop(kill=True)
        self.nats.start()
