"""Reap sleeping orphans through the control plane: how long it takes, and the loop's longest gap."""

from __future__ import annotations

import asyncio
import time

from benchmarks.diagnostics.programs import Ticker, sleepers
from benchmarks.diagnostics.reading import PER_OWNER, served
from qcfeed.control import routes
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.model.orphans import Reaped, ReapRequest

BYSTANDERS = 1_000
"""Tasks with an open owner; none of them may be cancelled."""
TIMEOUT = 300.0


async def reap(number: int) -> dict[str, float]:
    """``gap_ms``: the longest gap of a 1 ms ticker in the loop, from the request until the memory is
    released. ``stall_ms``: the stall that the answer reports."""
    ledger = Ledger()
    ledger.install(asyncio.get_running_loop())
    owners = sleepers(number, number // PER_OWNER)
    alive = sleepers(BYSTANDERS, 1)
    await asyncio.sleep(1)
    now = time.monotonic()
    for owner in owners:
        owner.closed_at = now
    ticker = Ticker()
    with served(ledger, timeout=TIMEOUT) as client:
        ticking = asyncio.create_task(ticker.run())
        await asyncio.sleep(0.05)
        ticker.longest = 0.0
        answer = await asyncio.to_thread(
            client.post, routes.REAP, ReapRequest(timeout_s=TIMEOUT), Reaped
        )
        await asyncio.sleep(0.05)
        ticking.cancel()
        await asyncio.wait([ticking])
    left = len(asyncio.all_tasks()) - BYSTANDERS - 1  # minus this task
    assert (answer.cancelled, answer.survivors, left) == (number, [], 0), answer
    assert not alive[0].closed
    ledger.uninstall()
    return {
        "took_ms": answer.elapsed_ms,
        "gap_ms": ticker.longest,
        "stall_ms": answer.max_stall_ms,
    }
