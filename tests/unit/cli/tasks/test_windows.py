from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from qcfeed.cli.tasks import windows
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.tasks import Location, TasksByLocation, TaskTotals
from qcfeed.observe import comparison
from tests.support.patience import PATIENCE


def snapshot(at: int, live: int, spawned: int, **life) -> TasksByLocation:
    row = Location(
        location="a.py:1", function="f", live=live, spawned=spawned, finished=spawned - live,
        cancelled=0, failed=0, destroyed=0, oldest_s=1.0, orphaned=0,
    )  # fmt: skip
    return TasksByLocation(
        totals=TaskTotals(live=live),
        locations=[row],
        taken_at=f"2026-01-01T00:00:{at:02}.000000Z",
        **({"pid": 1, "instance": "8006", "since": "then"} | life),
    )


def test_the_time_between_is_that_of_the_answers() -> None:
    seen = comparison.compare(snapshot(0, 10, 100), snapshot(30, 25, 130))
    assert (seen.seconds, seen.same_process) == (30, True)
    assert seen.locations[0].per_minute == 30
    assert (seen.pid, seen.instance, seen.before_at[-9:]) == (1, "8006", "0.000000Z"[-9:])


@pytest.mark.parametrize("other", [{"pid": 2}, {"since": "later"}, {"instance": "8007"}])
def test_a_restart_between_snapshots_is_reported(other: dict) -> None:
    seen = comparison.compare(snapshot(0, 10, 100), snapshot(30, 25, 130, **other))
    assert seen.same_process is False
    assert (seen.locations[0].spawned, seen.flow.per_minute) == (None, None)
    earlier = comparison.compare(snapshot(30, 10, 100), snapshot(0, 25, 130, **other))
    assert earlier.same_process is False, "clocks of two machines may differ"


def test_the_wrong_way_round_is_an_error() -> None:
    with pytest.raises(UsageError, match="the first snapshot is the later one"):
        comparison.compare(snapshot(30, 1, 1), snapshot(0, 1, 1))


@pytest.mark.parametrize("time_", ["", "yesterday", "2026-01-01T00:00:00"])
def test_a_snapshot_without_a_valid_time_is_an_error(time_: str) -> None:
    timeless = snapshot(0, 1, 1)
    timeless.taken_at = time_
    with pytest.raises(UsageError, match="has no valid time"):
        comparison.compare(timeless, snapshot(1, 1, 1))


def test_diff_of_two_files_in_every_format(qcfeed_, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_bytes(msgspec.json.encode(snapshot(0, 10, 100)))
    after.write_bytes(msgspec.json.encode(snapshot(30, 25, 130)))
    args = ("tasks", "diff", str(before), str(after))
    header, row, total = qcfeed_(*args).out.splitlines()
    assert header.split()[:6] == ["LOCATION", "CREATED", "ENDED", "NET/MIN", "BEFORE", "LIVE"]
    assert row.split()[:6] == ["a.py:1", "30", "15", "+30", "10", "25"]
    assert total.split()[:6] == ["total", "30", "15", "+30", "10", "25"]
    answer = json.loads(qcfeed_(*args, "-o", "json").out)
    assert (answer["schema"], answer["seconds"]) == ("qcfeed.tasks.window/2", 30)
    assert answer["locations"][0]["spawned"] == 30
    (line,) = csv.DictReader(io.StringIO(qcfeed_(*args, "-o", "csv").out))
    assert (line["spawned"], line["per_minute"]) == ("30", "30.0")
    assert qcfeed_(*args, "-o", "name").out == "a.py:1\n"


def test_diff_over_a_restart_says_so(qcfeed_, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_bytes(msgspec.json.encode(snapshot(0, 900, 9_000)))
    after.write_bytes(msgspec.json.encode(snapshot(30, 5, 10, since="later")))
    left = qcfeed_("tasks", "diff", str(before), str(after))
    assert left.out.splitlines()[1].split()[:6] == ["a.py:1", "-", "-", "-", "900", "5"]
    assert "of different processes" in left.err


def clock(sleep: Callable[[float], None]) -> object:
    """The command's clock, which sleeps as the test says."""
    return SimpleNamespace(sleep=sleep, monotonic=time.monotonic)


def in_the_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object
) -> None:
    """Called there, from the command's thread; returns when it has returned."""

    async def called() -> None:
        function(*args)

    asyncio.run_coroutine_threadsafe(called(), loop).result(PATIENCE)


async def test_a_window_of_a_running_program(
    watched, qcfeed_, sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.serve()
    sleepers(3)
    loop, naps = asyncio.get_running_loop(), []

    def sleep(seconds: float) -> None:
        if not naps:
            in_the_loop(loop, sleepers, 4)
        naps.append(seconds)

    time_ = SimpleNamespace(sleep=sleep, monotonic=lambda: sum(naps))
    monkeypatch.setattr(windows, "time", time_)
    left = await asyncio.to_thread(qcfeed_, "tasks", "--window", "500ms", "-o", "json")
    assert sum(naps) == pytest.approx(0.5)
    answer = json.loads(left.out)
    worst = answer["locations"][0]
    assert (worst["spawned"], worst["live_before"], worst["live"]) == (4, 3, 7)
    assert worst["per_minute"] == pytest.approx(4 * 60 / answer["seconds"])
    assert answer["same_process"] is True


async def test_watch_goes_on_over_a_restart_until_ctrl_c(
    watched, qcfeed_, sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = watched.serve()
    server_stopped, naps = threading.Event(), []
    loop = asyncio.get_running_loop()

    def sleep(seconds: float) -> None:  # in the command's thread: what happens between two looks
        naps.append(seconds)
        if len(naps) == 1:
            in_the_loop(loop, sleepers, 5)
        elif len(naps) == 2:
            server.stop()
            server_stopped.set()
        elif len(naps) == 3:
            in_the_loop(loop, watched.serve)
        elif len(naps) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(windows, "time", clock(sleep))
    left = await asyncio.to_thread(qcfeed_, "tasks", "--watch", "--window", "2s", "-o", "json")
    assert (left.status, naps) == (ExitStatus.OK, [2.0] * 4)
    first, second = [json.loads(line) for line in left.out.splitlines()]
    assert first["locations"][0]["spawned"] == 5
    assert (first["same_process"], second["same_process"]) == (True, False)
    assert "trying again" in left.err
    assert "of different processes" in left.err
