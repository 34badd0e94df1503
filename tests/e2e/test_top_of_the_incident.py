"""The screen of ``qcfeed top`` beside as many tasks as the incident had: it keeps up, and so does the service."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.cli.top.observer import LIMIT, ServiceSnapshot
from tests.support.full_screen import Screen, shown
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient
from tests.support.shell import Serving, serving

ZOMBIES = 47_829
LOOKS = 8
LONG = "10.0"
"""Seconds, a bound of the histogram: for that long no busy machine holds a loop. `make bench-top` measures."""


@pytest.fixture
def incident(tmp_path: Path) -> Iterator[Serving]:
    """A service of its own, with everything that was alive when the memory ran out."""
    arguments = (
        "--no-monitor", "--upstream", "sim:?rate=20", "--drill", f"zombie-feeds={ZOMBIES}",
        # The test's own subscriber reads nothing until the end, however long that takes.
        "--stall-timeout", "3600",
    )  # fmt: skip
    with serving(tmp_path, *arguments, before=("--instance", "incident")) as service:
        service.hear(f"{ZOMBIES} zombies are alive")
        yield service


def late_beats(service: Serving, seconds: str) -> tuple[int, int]:
    """All beats of the service's loop, and how many of them were later than that, by its own metrics."""
    with urllib.request.urlopen(
        service.url.replace("ws:", "http:") + "/metrics", timeout=PATIENCE
    ) as got:
        text = got.read().decode()
    name = "qcfeed_loop_lag_seconds"
    bounds = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)', text, re.MULTILINE)
    counted = {bound: int(float(number)) for bound, number in bounds}
    return counted["+Inf"], counted["+Inf"] - counted[seconds]


async def all_keys_answer(screen: Screen) -> None:
    """Every list and everything that opens, between two looks and during them."""
    for key, count in {"4": LIMIT, "2": 1, "3": 1, "5": 1, "1": 2}.items():
        await screen.press(key)
        await screen.until(lambda least=count: len(screen.rows) >= least)  # type: ignore[misc]
    guilty = [row for row in screen.rows if "drills/zombies.py" in row[0]]
    assert guilty[0][1] == f"{ZOMBIES + 1:,}", "the reader's own beside those of the incident"
    await screen.press("slash", *"zombies", "enter", "enter")
    await screen.until(lambda: len(screen.rows) == LIMIT)
    assert "200 of 47,830" in screen.text("about")
    assert "zombies.py" in await screen.opened("end", "enter")
    await screen.press("escape", "escape", "escape")
    await screen.press("question_mark", "escape")


async def test_every_look_is_answered_and_drawn_and_the_service_goes_on(
    incident: Serving, tmp_path: Path
) -> None:
    port = int(incident.url.rpartition(":")[2])
    async with (
        await RawClient.upgraded(port, "/quotes/AAPL") as reader,
        shown(tmp_path / "qcfeed" / "incident.sock", timeout=PATIENCE) as screen,
    ):
        await screen.until(lambda: f"{ZOMBIES:,} orphaned" in screen.text("head"))
        before = await asyncio.to_thread(late_beats, incident, LONG)
        await all_keys_answer(screen)
        count = len(screen.refreshes)
        await screen.until(lambda: len(screen.refreshes) >= count + LOOKS)
        beats, late = await asyncio.to_thread(late_beats, incident, LONG)

        answered = [each for each in screen.refreshes if isinstance(each, ServiceSnapshot)]
        assert len(answered) == len(screen.refreshes), "a refresh was not answered"
        assert all(each.totals[-1] > ZOMBIES for each in answered)
        assert all((each.stuck_s or 0) < float(LONG) for each in answered)
        await screen.until(lambda: drawn(screen))
        assert beats > before[0]
        assert late == before[1], "the service's loop was held"

        assert f"reap {ZOMBIES:,} orphans? [y/N]" in await screen.question("r")
        assert f"{ZOMBIES:,} tasks" in await screen.opened("y")
        await screen.press("escape")
        await screen.until(lambda: " 0 orphaned" in screen.text("head"))
        numbers = [(await reader.message("quote"))["seq"] for _ in range(20)]
        assert numbers == list(range(numbers[0], numbers[0] + 20))


def drawn(screen: Screen) -> bool:
    """What is on screen is the last look, and none waits to be drawn."""
    last = screen.refreshes[-1]
    return isinstance(last, ServiceSnapshot) and screen.app.state.snapshot is last
