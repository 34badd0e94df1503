"""The drill of the incident: exactly the zombies are found and reaped, and nobody else is affected."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from qcfeed.diagnostics import orphans, reaper, snapshot
from tests.integration.service.conftest import Start
from tests.support.raw_websocket import collect
from tests.support.running_service import until

ZOMBIES = 5_000


async def test_zombies_are_found_exactly_and_reaped_while_quotes_flow(start: Start) -> None:
    running = await start(drill=f"zombie-feeds={ZOMBIES}", upstream="sim:?rate=50")
    ledger = running.ledger
    witnesses = [await running.client(f"/quotes/{name}") for name in ("AAPL", "MSFT", "TSLA")]
    seen: list[list[int]] = [[] for _ in witnesses]
    watching = [asyncio.create_task(collect(*each)) for each in zip(witnesses, seen, strict=True)]

    def found() -> list[orphans.OrphanTask]:
        return orphans.find(ledger, time.monotonic())

    await until(lambda: len(found()) == ZOMBIES, "all zombies are there")
    (row,) = [row for row in snapshot.by_location(ledger, time.monotonic()).rows if row.orphaned]
    # A subscription during the drill has a zombie too, which is no orphan while it is subscribed.
    assert (row.orphaned, row.live) == (ZOMBIES, ZOMBIES + len(witnesses))
    assert row.function.endswith("start_symbol_feed")
    assert {each.location for each in found()} == {row.location}
    assert all("closed" in each.evidence for each in found()[:100])

    leaver = await running.client("/quotes/AMZN")
    await leaver.leave()
    await until(lambda: len(found()) == ZOMBIES + 1, "the one who left has left a zombie")

    before = [len(each) for each in seen]
    reaping = await reaper.cancel([each.record for each in found()])
    assert (reaping.reaped, reaping.failed, reaping.survivors) == (ZOMBIES + 1, 0, [])
    assert found() == []
    await until(
        lambda: all(len(a) > b + 5 for a, b in zip(seen, before, strict=True)), "quotes flow on"
    )
    for each in watching:
        each.cancel()
    await asyncio.wait(watching)
    for numbers in seen:
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for client in witnesses:
        await client.leave()
    await until(lambda: len(found()) == len(witnesses), "they leave zombies, too")
    await reaper.cancel([each.record for each in found()])
    await running.balanced()


async def test_the_drill_is_shown_everywhere(start: Start) -> None:
    running = await start(drill="zombie-feeds")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{running.http}/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "ready (DRILL zombie-feeds)\n")
        async with session.get(f"{running.http}/metrics") as answer:
            assert "qcfeed_drill_active 1.0" in await answer.text()
    assert running.service.ledger is running.ledger
