"""/metrics of a real service: the complete catalog, well-formed, without blocking the loop."""

from __future__ import annotations

import asyncio
import subprocess
import time
from datetime import UTC, datetime, timedelta

import aiohttp

from qcfeed.metrics.catalog.metrics import (
    METRICS,
    OF_FEEDERS,
    OF_GATEWAYS,
    WORKER_RESTARTS,
    MetricKind,
)
from tests.integration.service.conftest import Start
from tests.support.prometheus_server import needs_prometheus
from tests.support.raw_websocket import head
from tests.support.running_service import Running


async def scrape(running: Running) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{running.http}/metrics") as answer,
    ):
        assert answer.status == 200
        return await answer.text()


def samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_everything_in_the_catalog_is_exposed_and_nothing_else(running: Running) -> None:
    async with await running.client() as client:
        await client.message("quote")
        await running.refusal(head("/quotes/NOSUCH"))
    await running.balanced()
    text = await scrape(running)
    typed = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    shown = {MetricKind.DISTRIBUTION: "histogram"}
    wanted = {
        metric.name: shown.get(metric.kind, metric.kind.value)
        for metric in METRICS
        if not metric.name.startswith("qcfeed_tls_")  # test_tls.py
        and metric not in (*OF_GATEWAYS, *OF_FEEDERS)  # test_nats_failures.py
        and metric is not WORKER_RESTARTS  # tests/e2e/test_workers.py
    }
    for name in [name for name in typed if name.endswith(("_gsum", "_gcount"))]:
        del typed[name]  # the names of a distribution's sum and count in the text format
    assert typed == wanted


@needs_prometheus
async def test_promtool_accepts_the_metrics(running: Running) -> None:
    async with await running.client() as client:
        await client.message("quote")
        text = await scrape(running)
    said = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=text, text=True, capture_output=True
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    await running.balanced()


async def test_subscribers_are_counted_by_symbol(running: Running) -> None:
    async with await running.stream("AAPL", "MSFT"), await running.client():
        shown = samples(await scrape(running))
    assert shown["qcfeed_symbols_active"] == 2
    assert shown['qcfeed_symbol_subscribers_bucket{le="1.0"}'] == 1
    assert shown['qcfeed_symbol_subscribers_bucket{le="2.0"}'] == 2
    assert shown["qcfeed_symbol_subscribers_gsum"] == 3
    await running.balanced()


async def test_the_loop_lag_is_exposed(running: Running) -> None:
    before = samples(await scrape(running))["qcfeed_loop_lag_seconds_sum"]
    time.sleep(0.3)  # noqa: ASYNC251 - the fault itself
    await asyncio.sleep(0)
    after = samples(await scrape(running))["qcfeed_loop_lag_seconds_sum"]
    assert after - before >= 0.2
    await running.balanced()


async def test_a_closed_market_is_exposed(start: Start) -> None:
    another = datetime.now(UTC) + timedelta(days=3)  # far enough for a midnight meanwhile
    for days, shown in (("Mon-Sun", 1), (f"{another:%a}", 0)):
        running = await start(market_hours=f"{days} 00:00-24:00 UTC")
        assert samples(await scrape(running))["qcfeed_market_open"] == shown
    await running.balanced()
