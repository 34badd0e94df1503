"""The service creates no reference cycles: what it no longer needs is freed at once."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from tests.integration.service.conftest import Start
from tests.support.running_service import Running, until

VISITOR = Path(__file__).parents[2] / "support" / "visitor.py"


@pytest.fixture
def saved() -> Iterator[None]:
    """Run the collector only on request, and keep what it would have freed."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def visit(running: Running, cycles: int, query: str) -> None:
    arguments = [sys.executable, str(VISITOR), str(running.port), str(cycles), query]
    visitor = subprocess.Popen(arguments)  # noqa: ASYNC220 - asyncio's own leave circles
    try:
        await until(lambda: visitor.poll() is not None, "the visitor has left")
    finally:
        visitor.kill()
        visitor.wait()
    assert visitor.returncode == 0
    await until(lambda: not running.service.hub.feeds, "its feeds are closed")
    await until(lambda: not running.service.gateway.connections, "its connections are gone")


@pytest.mark.parametrize(
    "query", [*(f"?slow={policy}" for policy in SlowConsumerPolicy), "?compress=1", "?slow=wrong"]
)
async def test_connections_and_feeds_come_and_go_without_garbage(
    start: Start, saved: None, query: str
) -> None:
    running = await start(upstream="sim:?rate=20000", max_lag=16, send_buffer=4_608)
    await visit(running, 8, query)
    gc.collect()
    gc.garbage.clear()
    opened, quotes = running.service.gateway.opened, running.service.hub.quotes
    await visit(running, 40, query)
    gc.collect()
    if query == "?slow=wrong":
        assert running.service.gateway.refused["invalid_option"] == 48
    else:
        assert running.service.gateway.opened == opened + 40
        assert running.service.hub.quotes > quotes
    found = Counter(type(each).__qualname__ for each in gc.garbage)
    assert not found


def test_the_check_detects_a_reference_cycle(saved: None) -> None:
    circle: list[object] = []
    circle.append(circle)
    del circle
    gc.collect()
    assert len(gc.garbage) == 1
