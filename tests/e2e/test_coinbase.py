"""`qcfeed serve --upstream coinbase+ws://...` against a server that plays a real capture."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from qcfeed.model import messages
from tests.support.coinbase_server import CAPTURE, CoinbaseServer, Script, capture, frames
from tests.support.shell import qcfeed, serving
from tests.support.sinks import until

WRITTEN: Script = frames(
    [
        {"type": "ticker", "product_id": "BTC-USD", "sequence": 7, "price": "100.5",
         "trade_id": 1, "time": "2024-03-20T02:14:00.000000Z"},
        {"type": "snapshot", "product_id": "BTC-USD", "time": "2024-03-20T02:15:00.000000Z",
         "bids": [["100", "2.5"], ["99", "1"]], "asks": [["101", "3"]]},
        *({"type": "l2update", "product_id": "BTC-USD", "time": "2024-03-20T02:15:01.000000Z",
           "changes": [["buy", "100", str(size)]]} for size in range(1, 200)),
    ],
    every=0.05,
)  # fmt: skip


async def watch(home: Path, *args: str) -> list[messages.ServerMessage]:
    """What `qcfeed watch` prints, run beside the server in this loop."""
    said = await asyncio.to_thread(qcfeed, home, "watch", *args, "-o", "json")
    assert said.returncode == 0, said.stderr
    return [messages.decode(line) for line in said.stdout.splitlines()]


async def test_a_dropped_connection_is_made_again_and_the_feed_goes_on(tmp_path: Path) -> None:
    async with CoinbaseServer(WRITTEN, heartbeat=0.2) as server:
        with serving(tmp_path, "--upstream", f"coinbase+{server.url}") as service:
            watching = asyncio.create_task(
                watch(tmp_path, "BTC-USD", "--count", "40", "--server", service.url)
            )
            await until(lambda: "BTC-USD" in server.held)
            server.drop()
            said = await watching
            status = await asyncio.to_thread(qcfeed, tmp_path, "status", "-o", "json")
    quotes = [each for each in said if isinstance(each, messages.Quote)]
    assert [each.seq for each in quotes] == list(range(quotes[0].seq, quotes[0].seq + len(quotes)))
    assert (quotes[-1].ask, quotes[-1].ask_size) == (101, 3)
    assert json.loads(status.stdout)["upstream_reconnects"] == 1
    assert server.accepted == 2


async def test_a_product_that_the_exchange_refuses_is_refused_to_the_subscriber(
    tmp_path: Path,
) -> None:
    async with CoinbaseServer(WRITTEN, heartbeat=0.2) as server:
        with serving(tmp_path, "--upstream", f"coinbase+{server.url}"):
            said = await asyncio.to_thread(qcfeed, tmp_path, "watch", "FOO-USD", "-o", "json")
    assert said.returncode == 2
    assert "FOO-USD is not a valid product" in said.stderr


@pytest.mark.skipif(not CAPTURE.exists(), reason="the capture is not beside the project")
async def test_the_recorded_market_flows_through(tmp_path: Path) -> None:
    products = ("BAND-BTC", "YFI-BTC", "NMR-EUR")
    async with CoinbaseServer(capture(), speed=20.0) as server:
        with serving(tmp_path, "--upstream", f"coinbase+{server.url}"):
            said = await watch(tmp_path, *products, "--count", "60")
    quotes = [each for each in said if isinstance(each, messages.Quote)]
    assert {each.symbol for each in quotes} <= set(products)
    whole = [each for each in quotes if each.bid is not None and each.ask is not None]
    assert whole
    assert all(each.bid < each.ask and each.bid_size > 0 and each.ask_size > 0 for each in whole)
