"""A real minute of a busy, healthy ``qcfeed serve``: nobody may cry wolf."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path

from tests.support.machine import of_the_program
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient, request
from tests.support.shell import qcfeed, serving

MINUTE = 60.0
LONGEST = 8 * PATIENCE
"""Until then there must have been enough visits and looks; a busy machine takes longer for them."""
VISITS = 300
LOOKS = 10
AT_ONCE = 40
SYMBOLS = ("AAPL", "MSFT", "GOOGL", "TSLA", "AMZN", "NVDA", "META", "JPM")


class Crowd:
    """Visitors who come by chance, and leave politely, rudely or without a word."""

    def __init__(self, port: int) -> None:
        self.visits = 0
        self._port = port
        self._chance = random.Random(8)
        self._seats = asyncio.Semaphore(AT_ONCE)

    async def arrive(self, group: asyncio.TaskGroup) -> None:
        """Until cancelled."""
        while True:
            await self._seats.acquire()
            group.create_task(self._visit())
            await asyncio.sleep(self._chance.expovariate(30))

    async def _visit(self) -> None:
        symbols = self._chance.sample(SYMBOLS, self._chance.choice((1, 1, 3)))
        one = len(symbols) == 1
        target = f"/quotes/{symbols[0]}" if one else "/stream"
        try:
            async with await RawClient.upgraded(self._port, target) as client:
                if not one:
                    client.send(request("subscribe", *symbols))
                for _ in range(self._chance.randrange(1, 20)):
                    await client.message("quote")
                await self._leave(client)
            self.visits += 1
        finally:
            self._seats.release()

    async def _leave(self, client: RawClient) -> None:
        how = self._chance.randrange(3)
        if how == 0:
            await client.leave()
        elif how == 1:
            client.reset()


async def test_a_real_minute_of_health_has_no_finding(tmp_path: Path) -> None:
    with serving(
        tmp_path, "--no-monitor", "--linger", "0.2", "--upstream", "sim:?rate=20"
    ) as service:
        crowd = Crowd(int(service.url.rpartition(":")[2]))
        began, looks = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            arriving = asyncio.create_task(crowd.arrive(group))
            try:
                while time.monotonic() - began < MINUTE or crowd.visits < VISITS or looks < LOOKS:
                    assert time.monotonic() - began < LONGEST, (crowd.visits, looks)
                    await asyncio.sleep(2)
                    assert await _told(tmp_path) == []
                    looks += 1
            finally:
                arriving.cancel()
        told = await asyncio.to_thread(qcfeed, tmp_path, "diagnose", "-o", "json")
        assert of_the_program(json.loads(told.stdout)["findings"]) == []
        after = await asyncio.to_thread(qcfeed, tmp_path, "status", "-o", "json")
        assert json.loads(after.stdout)["totals"]["orphaned"] == 0


async def _told(home: Path) -> list[str]:
    """What is found now of the program."""
    left = await asyncio.to_thread(qcfeed, home, "tasks", "findings", "-o", "json")
    answer = json.loads(left.stdout)
    assert answer["skipped"] == []
    found = of_the_program(answer["findings"])
    return [each["summary"] for each in found if each["certainty"] != "suspected"]
