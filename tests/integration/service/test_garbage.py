"""The service creates no reference cycles: what it no longer needs is freed at once."""

from __future__ import annotations

import contextlib
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


@contextlib.contextmanager
def new_garbage() -> Iterator[Counter[str]]:
    """Types of what became garbage in reference cycles inside; complete when it has ended.

    What was garbage before is freed first, not only taken from ``gc.garbage``: a cycle that is only
    taken from there is found again by the next collection.
    """
    found: Counter[str] = Counter()
    while gc.collect():  # objects with finalizers take more than one collection
        pass
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage)
    finally:
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
async def test_connections_and_feeds_come_and_go_without_garbage(start: Start, query: str) -> None:
    running = await start(upstream="sim:?rate=20000", max_lag=16, send_buffer=4_608)
    await visit(running, 8, query)  # what is built once, on the first use, may leave garbage
    opened, quotes = running.service.gateway.opened, running.service.hub.quotes
    with new_garbage() as found:
        await visit(running, 40, query)
    if query == "?slow=wrong":
        assert running.service.gateway.refused["invalid_option"] == 48
    else:
        assert running.service.gateway.opened == opened + 40
        assert running.service.hub.quotes > quotes
    assert not found


def test_the_check_detects_a_reference_cycle() -> None:
    with new_garbage() as found:
        circle: list[object] = []
        circle.append(circle)
        del circle
    assert found == {"list": 1}
