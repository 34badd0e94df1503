"""The built-in upstreams pass the conformance test that other packages run on theirs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qcfeed.model.messages import Quote
from qcfeed.upstreams import registry
from qcfeed.upstreams.base import Upstream
from qcfeed.upstreams.conformance import UpstreamConformance
from qcfeed.upstreams.recording import RecordingWriter
from qcfeed.upstreams.timestamps import render
from tests.support.coinbase_server import CoinbaseServer, frames
from tests.support.patience import PATIENCE


class TestSimulator(UpstreamConformance):
    url = "sim:?rate=500"
    symbols = ("AAPL", "MSFT")
    unknown = "NO-SUCH"
    patience = PATIENCE


class TestUnpacedSimulator(TestSimulator):
    url = "sim:?rate=max"


class TestReplay(UpstreamConformance):
    symbols = ("AAPL", "MSFT")
    unknown = "NO-SUCH"
    patience = PATIENCE

    @pytest.fixture(autouse=True)
    def recording(self, tmp_path: Path) -> None:
        path = tmp_path / "day.jsonl"
        with RecordingWriter(path) as writer:
            for number in range(2_000):
                for symbol in self.symbols:
                    ts = f"2024-03-20T02:15:{number // 1000:02}.{number % 1000:03}Z"
                    quote = Quote(symbol, 1.0, 100, 1.01, 100, 1.0, ts, "e", number + 1)
                    writer.write(number / 200, quote)
        self.url = f"replay:{path}?speed=10"


class TestCoinbase(UpstreamConformance):
    symbols = ("BTC-USD", "ETH-USD")
    unknown = "NO-SUCH"
    patience = PATIENCE

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Upstream]:
        async with CoinbaseServer(self._script(), heartbeat=0.2) as self.server:
            yield registry.connect(f"coinbase+{self.server.url}")

    def _script(self) -> dict[str, list[tuple[float, dict[str, object]]]]:
        snapshot = {"type": "snapshot", "bids": [["1.00", "1"]], "asks": [["9.00", "1"]]}
        update = {"type": "l2update", "time": render(time.time_ns())}
        return frames(
            [
                {**(update if number else snapshot), "product_id": symbol}
                | ({"changes": [["buy", f"{1 + number / 1000:.3f}", "1"]]} if number else {})
                for symbol in self.symbols
                for number in range(2_000)
            ],
            every=0.005,
        )

    async def disrupt(self) -> None:
        self.server.drop()
