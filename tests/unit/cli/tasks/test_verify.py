from __future__ import annotations

import asyncio
import contextlib
import json
import time
from types import SimpleNamespace

import pytest

from qcfeed.cli.tasks import verify
from qcfeed.diagnostics.ledger import owned_by
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.tasks import Location
from tests.support.patience import PATIENCE

SITE = "tests/unit/cli/tasks/test_verify.py"


def row(location: str, function: str = "f") -> Location:
    return Location(
        location=location, function=function, live=1, spawned=1, finished=0, cancelled=0, failed=0,
        destroyed=0, oldest_s=None, orphaned=0,
    )  # fmt: skip


ROWS = [row("x/feed.py:83"), row("y/feed.py:83"), row("x/hub.py:1", "f"), row("x/hub.py:1", "g")]


def test_a_site_is_found_by_its_path_or_the_end_of_it() -> None:
    assert verify.matching(ROWS, "x/feed.py:83") == ROWS[:1]
    assert verify.matching(ROWS, "hub.py:1") == ROWS[2:]
    assert verify.matching(ROWS, "ub.py:1") == []
    assert verify.matching(ROWS, "feed.py:8") == []


def test_an_ambiguous_location_is_an_error() -> None:
    with pytest.raises(
        UsageError, match=r"is ambiguous: it is the end of x/feed\.py:83, y/feed\.py:83"
    ):
        verify.matching(ROWS, "feed.py:83")


@pytest.mark.parametrize("site", ["feed.py", ":83", "feed.py:", "feed.py:x", ""])
def test_text_that_is_no_location_is_an_error(site: str) -> None:
    with pytest.raises(UsageError, match="is not a spawn location"):
        verify.matching(ROWS, site)


class Traffic:
    """Tasks born at one line, again and again; some stay."""

    def __init__(self) -> None:
        self.stayed: list[asyncio.Task[None]] = []
        self.leaks = False
        self.owner_gone = False
        self.born = 0

    async def run(self) -> None:
        while True:
            with owned_by(lambda: self.owner_gone):
                task = asyncio.create_task(asyncio.sleep(3600 if self.leaks else 0.001))
            self.born += 1
            if self.leaks:
                self.stayed.append(task)
            await asyncio.sleep(0.01)

    async def more(self, spawned: int) -> None:
        """Until so many more tasks are born."""
        enough = self.born + spawned
        while self.born < enough:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)


def line() -> str:
    import inspect

    lines, start = inspect.getsourcelines(Traffic.run)
    [offset] = [n for n, text in enumerate(lines) if "create_task" in text]
    return f"{SITE}:{start + offset}"


@pytest.fixture
async def traffic():
    traffic = Traffic()
    running = asyncio.create_task(traffic.run())
    yield traffic
    running.cancel()
    for task in traffic.stayed:
        task.cancel()
    await asyncio.gather(running, *traffic.stayed, return_exceptions=True)


@pytest.fixture
async def naps(traffic, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """By the command's clock: three spawned pass between two looks, and what it meant to sleep."""
    loop, naps = asyncio.get_running_loop(), []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        asyncio.run_coroutine_threadsafe(traffic.more(3), loop).result(PATIENCE)

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: sum(naps))
    monkeypatch.setattr(verify, "time", clock)
    return naps


async def verified(qcfeed_, *args: str, status: ExitStatus, seconds: str = "1s") -> dict:
    left = await asyncio.to_thread(
        qcfeed_, "tasks", "verify", "--site", line(), "--for", seconds, "-o", "json", *args
    )
    assert left.status == status, (left.out, left.err)
    answer = json.loads(left.out)
    assert answer["schema"] == "qcfeed.tasks.verify/2"
    return answer


async def test_a_fix_that_holds(watched, qcfeed_, naps) -> None:
    watched.serve()
    answer = await verified(qcfeed_, status=ExitStatus.OK)
    assert (answer["outcome"], answer["reasons"], answer["orphaned"]) == ("holds", [], 0)
    assert answer["spawned"] >= 20
    assert answer["instance"] == "8006"


async def test_verify_reports_a_leak(watched, qcfeed_, traffic, naps) -> None:
    watched.serve()
    traffic.leaks = True
    answer = await verified(qcfeed_, status=ExitStatus.FINDINGS)
    assert answer["outcome"] == "leaks"
    assert answer["growth"] > 20
    assert "live tasks grew" in answer["reasons"][0]


async def test_orphans_are_listed(watched, qcfeed_, traffic, naps) -> None:
    watched.serve()
    traffic.leaks = traffic.owner_gone = True
    left = await asyncio.to_thread(
        qcfeed_, "tasks", "verify", "--site", "test_verify.py:" + line().rpartition(":")[2],
        "--for", "300ms",
    )  # fmt: skip
    assert left.status == ExitStatus.FINDINGS
    assert "alive though the owner is gone" in left.out
    assert "qcfeed orphans --reap" in left.err


async def test_too_little_traffic_proves_nothing(watched, qcfeed_, traffic) -> None:
    watched.serve()
    answer = await verified(qcfeed_, "--min-spawned", "1000000", status=ExitStatus.FINDINGS)
    assert answer["outcome"] == "unproven"
    assert "too little traffic to tell" in answer["reasons"][0]


async def test_an_unknown_line_suggests_locations_in_the_same_file(
    watched, qcfeed_, traffic
) -> None:
    watched.serve()
    await traffic.more(1)
    args = ("tasks", "verify", "--site", f"{SITE}:1", "--for", "100ms")
    left = await asyncio.to_thread(qcfeed_, *args)
    assert left.status == ExitStatus.FINDINGS
    assert f"no task was ever created there; locations in that file: {SITE}:" in left.out


async def test_ctrl_c_prints_the_result_so_far(
    watched, qcfeed_, traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.serve()
    loop, looks = asyncio.get_running_loop(), []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 6:
            raise KeyboardInterrupt
        asyncio.run_coroutine_threadsafe(traffic.more(1), loop).result(PATIENCE)

    monkeypatch.setattr(verify, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    answer = await verified(qcfeed_, status=ExitStatus.INTERRUPTED, seconds="10m")
    assert (answer["looks"], set(looks)) == (6, {10.0})
    assert answer["spawned"] > 0


async def test_a_restart_in_between_proves_nothing(
    watched, qcfeed_, traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = watched.serve()
    loop = asyncio.get_running_loop()

    async def another() -> None:
        watched.serve()

    def sleep(_: float) -> None:
        with contextlib.suppress(RuntimeError):
            server.stop()
        asyncio.run_coroutine_threadsafe(another(), loop).result(PATIENCE)

    clock = type("Time", (), {"sleep": staticmethod(sleep), "monotonic": time.monotonic})
    monkeypatch.setattr(verify, "time", clock)
    answer = await verified(qcfeed_, status=ExitStatus.FINDINGS)
    assert answer["outcome"] == "unproven"
    assert answer["reasons"][0] == "the service was restarted meanwhile: start again"


async def test_verify_prints_its_result_when_the_service_goes_away(
    watched, qcfeed_, traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = watched.serve()
    clock = type(
        "Time", (), {"sleep": staticmethod(lambda _: server.stop()), "monotonic": time.monotonic}
    )
    monkeypatch.setattr(verify, "time", clock)
    answer = await verified(qcfeed_, status=ExitStatus.UNREACHABLE)
    assert (answer["outcome"], answer["looks"]) == ("unproven", 1)
