"""`qcfeed diagnose` against real faults, and against healthy programs."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from qcfeed.diagnose import verdict
from qcfeed.drills import zombies
from qcfeed.errors import ExitStatus
from tests.support import faults
from tests.support.coinbase_server import CoinbaseServer, frames
from tests.support.machine import BLOCKED, of_the_program
from tests.support.patience import PATIENCE
from tests.support.program import program
from tests.support.raw_websocket import RawClient, request
from tests.support.shell import QCFEED, environment, qcfeed, serving, until

FAULTY = ("--instance", "faulty")
WELL = ("NOTHING FOUND YET", "HEALTHY")
"""Headlines without a finding, within a minute of the start and later."""
WITHOUT_FINDING = (verdict.HEALTHY, verdict.TOO_EARLY, verdict.SUSPECTED)
UNLIMITED = ("--no-monitor", "--subscribe-rate", "0")
"""On a fast machine one client alone connects more often than the default limit allows."""


def diagnose(home: Path, *args: str, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """The verdict; checks that the exit status agrees with it."""
    completed = qcfeed(home, *before, "diagnose", "-o", "json", *args)
    assert completed.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), completed.stderr
    diagnosis = json.loads(completed.stdout)
    assert diagnosis["schema"] == "qcfeed.diagnose/3"
    assert (
        (completed.returncode == ExitStatus.OK)
        == (diagnosis["verdict"] in WITHOUT_FINDING)
        == (not diagnosis["findings"])
    )
    return dict(diagnosis)


def until_diagnosed(
    home: Path, what: Callable[[dict[str, Any]], object], *args: str, before: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The program's most urgent finding, as soon as ``what`` accepts it.

    A busy machine may delay the fault, and its stalls are findings beside it.
    """
    deadline = time.monotonic() + 3 * PATIENCE
    while True:
        diagnosis = diagnose(home, *args, before=before)
        found = of_the_program(diagnosis["findings"])
        if found and what(found[0]):
            return dict(found[0])
        assert time.monotonic() < deadline, diagnosis


def line(module: object, words: str) -> str:
    path = Path(str(module.__file__))  # type: ignore[attr-defined]
    [number] = [n for n, text in enumerate(path.read_text().splitlines(), 1) if words in text]
    return f"{path.parent.name}/{path.name}:{number}"


def found(home: Path, rule: str, before: tuple[str, ...] = ()) -> Callable[[], bool]:
    """A function that returns whether the ledger's rule is certain yet."""

    def is_certain() -> bool:
        completed = json.loads(qcfeed(home, *before, "tasks", "findings", "-o", "json").stdout)
        return any(f["rule"] == rule and f["certainty"] == "proved" for f in completed["findings"])

    return is_certain


async def test_a_growing_leak_is_diagnosed_with_its_line(tmp_path: Path) -> None:
    args = (*UNLIMITED, "--linger", "0.05", "--drill", "zombie-feeds=300")
    with serving(tmp_path, *args) as service:
        await asyncio.to_thread(until, found(tmp_path, "orphans"), "orphans that are proved")
        async with load(int(service.url.rpartition(":")[2]), readers=0):
            worst = await asyncio.to_thread(
                until_diagnosed, tmp_path, lambda worst: worst["per_minute"], "--window", "3s"
            )
        assert (worst["rule"], worst["kind"]) == ("zombies", "LEAK")
        guilty = line(zombies, "_generate_quotes(subscriber))")
        assert worst["location"] == f"qcfeed/{guilty}"
        assert worst["source"].endswith("create_task(self._generate_quotes(subscriber))")
        assert worst["count"] >= 300
        assert worst["per_minute"] > 0
        assert worst["began_s"] >= 5
        assert "grow by" in worst["cause"]
        assert worst["cause"].endswith("per minute: they ignore failed sends")
        assert any("have run since" in text for text in worst["evidence"])
        assert worst["next"][0] == "qcfeed orphans --reap"

        reaped = await asyncio.to_thread(qcfeed, tmp_path, *worst["next"][0].split()[1:])
        assert reaped.returncode == ExitStatus.OK
        after = await asyncio.to_thread(diagnose, tmp_path, "--window", "500ms")
        assert after["drill"] == "zombie-feeds=300"
        left = {each["rule"] for each in after["findings"]}
        assert left <= {"drill", BLOCKED}, "the fault is gone, the drill is still on"


WRITTEN = [
    message
    for product in ("BTC-USD", "ETH-USD")
    for message in (
        {"type": "ticker", "product_id": product, "sequence": 7, "price": "100.5",
         "trade_id": 1, "time": "2024-03-20T02:14:00.000000Z"},
        {"type": "snapshot", "product_id": product, "time": "2024-03-20T02:15:00.000000Z",
         "bids": [["100", "2.5"]], "asks": [["101", "3"]]},
    )
]  # fmt: skip
STALE = ("--stale-after", "1", "--very-stale-after", "60", "--dead-after", "600")


async def test_a_silent_upstream_is_not_a_leak(tmp_path: Path) -> None:
    async with CoinbaseServer(frames(WRITTEN), heartbeat=0.2) as server:
        args = ("--no-monitor", "--upstream", f"coinbase+{server.url}", *STALE)
        with serving(tmp_path, *args) as service:
            port = int(service.url.rpartition(":")[2])
            async with await RawClient.upgraded(port, "/stream") as client:
                client.send(request("subscribe", "BTC-USD", "ETH-USD"))
                await client.message("quote")
                server.muted.add(None)
                await client.message("status")
                worst = await asyncio.to_thread(
                    until_diagnosed,
                    tmp_path,
                    lambda worst: worst["count"] == 2,
                    "--window",
                    "500ms",
                )
    assert (worst["rule"], worst["kind"]) == ("upstream", "UPSTREAM")
    assert "this is not a leak" in worst["cause"]
    assert any("0 orphaned" in text for text in worst["evidence"])
    assert "nothing to cancel" in worst["safe"]


async def test_slow_subscribers_are_named(tmp_path: Path) -> None:
    """Three sockets that stop reading among ten that read."""
    # So few quotes that those who read keep up on a busy machine, and so little room for the others.
    small = ("--upstream", "sim:?rate=20", "--send-buffer", "4608", "--max-lag", "64")
    with serving(tmp_path, *UNLIMITED, "--stall-timeout", "3600", *small) as service:
        port = int(service.url.rpartition(":")[2])
        async with AsyncExitStack() as stack:
            deaf = []
            for _ in range(3):
                client = await RawClient.upgraded(port, "/stream", receive_buffer=4_096)
                await stack.enter_async_context(client)
                client.send(request("subscribe", *SYMBOLS))
                client.deafen()
                deaf.append(f"127.0.0.1:{client.port}")
            async with load(port, readers=10):
                worst = await asyncio.to_thread(
                    until_diagnosed,
                    tmp_path,
                    lambda worst: (worst["rule"], worst["count"]) == ("slow_subscribers", 3),
                    "--window", "500ms",
                )  # fmt: skip
    assert worst["kind"] == "SLOW"
    assert [peer for peer in deaf if peer not in worst["cause"]] == []
    assert all("quotes behind" in text for text in worst["evidence"])
    assert worst["next"][1].startswith("qcfeed subscribers kick ")


def test_a_stuck_loop_is_diagnosed_by_its_line(tmp_path: Path) -> None:
    guilty = f"tests/{line(faults, 'the blocking line')}"
    diagnosis: dict[str, Any] = {}

    def is_stuck() -> bool:  # a busy machine may hold the loop up elsewhere before
        diagnosis.update(diagnose(tmp_path, "--window", "1s", before=FAULTY))
        first = [(each["location"], each["headline"]) for each in diagnosis["findings"][:1]]
        return any(at == guilty and "has been stuck for" in text for at, text in first)

    with program(tmp_path, "-m", "tests.support.faults", "blocks_for_good") as faulty:
        faulty.hear("attached")
        until(is_stuck, f"the loop to be stuck at {guilty}")
    worst = diagnosis["findings"][0]
    assert (diagnosis["verdict"], worst["kind"]) == ("blocked_loop", "BLOCKED")
    assert worst["source"] == "time.sleep(seconds)  # the blocking line"
    assert diagnosis["loop_stall_ms"] >= 1000
    assert worst["next"][0] == "qcfeed --instance faulty stacks"


def test_a_past_stall_is_diagnosed_by_its_line(tmp_path: Path) -> None:
    with program(tmp_path, "-m", "tests.support.faults", "blocked_once") as faulty:
        faulty.hear("attached")
        until(found(tmp_path, "blocked_loop", FAULTY), "the stall")
        until(
            lambda: diagnose(tmp_path, "--window", "1ms", before=FAULTY)["loop_stall_ms"] < 500,
            "it turns",
        )
        diagnosis = diagnose(tmp_path, "--window", "1s", before=FAULTY)
    guilty = f"tests/{line(faults, 'the blocking line')}"
    (found_,) = (each for each in diagnosis["findings"] if each["location"] == guilty)
    stood = re.match(r"the loop stalled for ([\d.]+)s", found_["headline"])
    assert stood, found_["headline"]
    assert float(stood[1]) > 1, (
        "it slept for two; a busy machine begins to count late, or ends late"
    )


def test_memory_that_grows_without_tasks_is_not_called_tasks(tmp_path: Path) -> None:
    with program(tmp_path, "-m", "tests.support.faults", "keeps_memory") as faulty:
        faulty.hear("attached")
        worst = until_diagnosed(
            tmp_path, lambda worst: worst["rule"] == "memory_growth", "--window", "4s",
            before=FAULTY,
        )  # fmt: skip
    assert worst["kind"] == "MEMORY"
    assert "tasks are not the cause: 1 live at first, 1 now" in worst["cause"]
    assert worst["left_s"] > 0
    assert not worst["location"]


def test_a_busy_program_has_no_finding(tmp_path: Path) -> None:
    with program(tmp_path, "-m", "tests.support.faults", "works") as faulty:
        faulty.hear("attached")
        diagnosis = diagnose(tmp_path, "--window", "2s", before=FAULTY)
    assert of_the_program(diagnosis["findings"]) == []
    begins = ("BLOCKED",) if diagnosis["findings"] else WELL
    assert diagnosis["headline"].startswith(begins)
    looked_at = {each["subject"] for each in diagnosis["checks"]}
    assert looked_at == {"tasks", "earlier", "memory", "loop", "history"}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_service_under_heavy_and_steady_load_has_no_finding(
    tmp_path: Path, seed: int
) -> None:
    upstream = f"sim:?rate=5&seed={seed}"
    with serving(tmp_path, *UNLIMITED, "--upstream", upstream, "--linger", "0.1") as service:
        async with load(int(service.url.rpartition(":")[2])):
            diagnosis = await asyncio.to_thread(diagnose, tmp_path, "--window", "2s")
    assert of_the_program(diagnosis["findings"]) == []


SYMBOLS = ("AAPL", "MSFT", "GOOGL", "TSLA", "AMZN", "NVDA", "META", "NFLX")


@asynccontextmanager
async def load(port: int, readers: int = 40) -> AsyncIterator[None]:
    """Readers of four symbols each, and a client that connects and disconnects in a loop."""
    over = asyncio.Event()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await RawClient.upgraded(port, "/stream"))
            for _ in range(readers)
        ]
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                symbols = [SYMBOLS[(number + step) % len(SYMBOLS)] for step in range(4)]
                client.send(request("subscribe", *symbols))
                group.create_task(_reads(client, over))
            group.create_task(_comes_and_goes(port, over))
            try:
                yield
            finally:
                over.set()


async def _reads(client: RawClient, over: asyncio.Event) -> None:
    while not over.is_set():
        await client.message("quote")


async def _comes_and_goes(port: int, over: asyncio.Event) -> None:
    while not over.is_set():
        async with await RawClient.upgraded(port, "/quotes/IBM") as client:
            await client.message("quote")


def test_the_verdict_fits_80_by_24_and_watch_redraws_it(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-monitor", "--drill", "zombie-feeds=200"):
        until(found(tmp_path, "orphans"), "orphans that are proved")
        screen: list[str] = []

        def is_the_leak() -> bool:  # while the machine holds the loop up, that is more urgent
            screen[:] = on_terminal(tmp_path, "--window", "1s")
            return screen[0].startswith("LEAK  200 tasks from qcfeed/drills/zombies.py:")

        until(is_the_leak, "the leak to be the most urgent finding")
        assert max(map(len, screen)) <= 80
        assert len(screen) <= 23, "the prompt has the last line"
        assert [text for text in screen if text.strip() == "next      qcfeed orphans --reap"]
        child = _terminal(tmp_path, "--watch", "--window", "300ms")
        for _ in range(3):
            child.expect_exact("LEAK  200 tasks")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == ExitStatus.OK
        assert "Traceback" not in child.before


def _terminal(home: Path, *args: str) -> Any:
    return pexpect.spawn(
        str(QCFEED),
        ["diagnose", *args],
        env=environment(home) | {"TERM": "xterm", "NO_COLOR": "1"},
        encoding="utf-8",
        dimensions=(24, 80),
        timeout=PATIENCE,
    )


def on_terminal(home: Path, *args: str) -> list[str]:
    """The lines of the verdict, without the progress bar."""
    child = _terminal(home, *args)
    child.expect(pexpect.EOF)
    child.close()
    diagnosis = child.before[max(0, child.before.find("LEAK")) :]
    return [text.rstrip() for text in diagnosis.splitlines()]
