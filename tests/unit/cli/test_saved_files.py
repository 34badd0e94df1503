from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from pathlib import Path

import pytest

from qcfeed.cli import output_files, saved_files
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.diagnostics import label
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.tasks import TasksByLocation, TaskTotals

from .conftest import Left

CENSUS = b'{"schema":"qcfeed.tasks.by_location/3","totals":{"live":1},"locations":[]}'


def snapshot(path: Path) -> tuple[TasksByLocation, bytes]:
    return saved_files.read(path, TASKS_BY_LOCATION, TasksByLocation)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "snapshot.json"


def test_a_written_file_can_be_read(file: Path) -> None:
    output_files.write(file, CENSUS, force=True)
    answer, raw = snapshot(file)
    assert (answer.totals, raw) == (TaskTotals(live=1), CENSUS)
    assert list(file.parent.glob(".*")) == [], "nothing beside it"


def test_a_field_of_a_later_version_does_no_harm(file: Path) -> None:
    file.write_bytes(CENSUS.replace(b'"totals"', b'"novel":[1],"totals"'))
    assert snapshot(file)[0].totals.live == 1


def test_a_failed_write_leaves_the_earlier_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_files.write(file, CENSUS, force=True)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"cannot write .*: No space left on device"):
        output_files.write(file, b"{}", force=True)
    assert snapshot(file)[1] == CENSUS
    assert list(file.parent.glob(".*")) == [], "nothing beside it"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "not an answer of qcfeed, or is truncated"),
        (CENSUS[:40], "not an answer of qcfeed, or is truncated"),
        (b"\x00\xff\xfe", "not an answer of qcfeed, or is truncated"),
        (b"[1, 2]", "not an answer of qcfeed, or is truncated"),
        (b'{"name": "qcfeed"}', "is JSON, but not an answer of qcfeed"),
        (CENSUS.replace(b"/3", b"/4"), "was written by another version of qcfeed"),
        (
            b'{"schema":"qcfeed.tasks/1"}',
            "contains qcfeed.tasks/1, but qcfeed.tasks.by_location/3 is",
        ),
        (b'{"schema":"qcfeed.tasks.by_location/3"}', "but is not: Object missing required field"),
        (CENSUS.replace(b"1}", b'"x"}'), "but is not: Expected `int`"),
        (b'{"schema":"qcfeed.tasks.snapshot/4"}', "was written by another version of qcfeed"),
        (b'{"schema":"qcfeed.tasks.snapshot/3"}', "but is not: Object missing required field"),
    ],
)
@pytest.mark.parametrize("command", [["tasks", "diff"], ["tasks", "--by-location", "--from"]])
def test_a_file_that_is_not_ours_is_one_clear_error(
    qcfeed_, file: Path, raw: bytes | None, message: str, command: list[str]
) -> None:
    if raw is not None:
        file.write_bytes(raw)
    left = qcfeed_(*command, str(file))
    assert left.status == ExitStatus.USAGE
    assert left.err.count("qcfeed: error: ") == 1
    assert str(file) in left.err
    assert message in left.err
    assert left.out == ""


def test_a_missing_directory_and_a_directory_as_a_file_are_errors(qcfeed_, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        output_files.write(tmp_path / "none" / "x.json", CENSUS, force=False)
    assert qcfeed_("tasks", "--from", str(tmp_path)).status == ExitStatus.USAGE


async def test_a_saved_snapshot_is_read_without_a_service(
    watched, qcfeed_, sleepers, file: Path
) -> None:
    server = watched.serve()
    with label(symbol="AAPL"):
        sleepers(3, name="feed AAPL")
    sleepers(2, orphaned=True)
    shown = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "--save", str(file))
    assert shown.out.startswith("LOCATION ")
    assert shown.err == f"saved to {file}\n"
    serial = (
        await asyncio.to_thread(qcfeed_, "tasks", "--name", "feed*", "-o", "name")
    ).out.split()
    live = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "-o", "csv")
    await asyncio.to_thread(server.stop)
    assert qcfeed_("tasks").status == ExitStatus.UNREACHABLE

    def asked(*args: str) -> Left:
        left = qcfeed_("tasks", *args, "--from", str(file))
        assert left.status == ExitStatus.OK, left.err
        assert left.err.startswith("as of 20")
        assert f" UTC: 8006 (pid {os.getpid()}), read from {file}\n" in left.err
        return left

    def without_ages(rows: str) -> list[dict[str, str]]:
        return [row | {"oldest_s": ""} for row in csv.DictReader(io.StringIO(rows))]

    again = asked("--by-location", "-o", "csv")
    here = [row for row in without_ages(live.out) if "conftest.py" in row["location"]]
    assert here == [row for row in without_ages(again.out) if "conftest.py" in row["location"]]
    assert asked("--name", "feed*", "-o", "name").out.split() == serial
    assert asked("--waits").out.splitlines()[0].split()[-2:] == ["WAITS", "NOTE"]
    assert asked("--by", "label:symbol", "-o", "csv").out.splitlines()[1].startswith("AAPL,3,0,")
    assert "conftest.py" in asked("--tree", "--label", "symbol").out
    assert "in forever" in asked("show", serial[0]).out
    assert asked("-o", "collapsed").out.count("[task];forever (") == 2
    plan = asked("cancel", "--label", "symbol=AAPL", "--dry-run", "-o", "name")
    assert plan.out.split() == serial
    cut = asked("--limit", "2")
    assert len(cut.out.splitlines()) == 3
    assert "\nthe 2 oldest of " in cut.err


async def test_what_a_file_cannot_answer_is_an_error(
    watched, qcfeed_, sleepers, file: Path
) -> None:
    watched.serve()
    sleepers(1)
    await asyncio.to_thread(qcfeed_, "tasks", "--save", str(file), "-o", "name")
    for args, status, words in (
        (["show", "999999"], ExitStatus.USAGE, "no live task 999999 in the file"),
        (["findings"], ExitStatus.USAGE, "the file has no findings"),
        (["cancel", "--site", "x.py:1"], ExitStatus.USAGE, "tasks in a file cannot be cancelled"),
        (["--save", "x.json"], ExitStatus.USAGE, "--save needs a service and --from a file"),
        (["--tree", "-o", "speedscope"], ExitStatus.USAGE, "cannot be combined with"),
    ):
        left = qcfeed_("tasks", *args, "--from", str(file))
        assert (left.status, left.out) == (status, "")
        assert words in left.err


@pytest.mark.parametrize("command", ["status", "orphans", "feeds", "stacks"])
async def test_a_file_of_tasks_has_no_other_answers(
    watched, qcfeed_, file: Path, command: str
) -> None:
    watched.serve()
    await asyncio.to_thread(qcfeed_, "tasks", "--save", str(file), "-o", "name")
    left = qcfeed_(command, "--from", str(file))
    assert (left.status, left.out) == (ExitStatus.USAGE, "")
    assert f"{file} contains qcfeed.tasks.snapshot/3, but qcfeed.{command}" in left.err
    assert "`qcfeed report --bundle FILE` writes a file that has this answer" in left.err


async def test_a_single_answer_can_be_shown_again_but_not_filtered(
    watched, qcfeed_, sleepers, file: Path
) -> None:
    watched.serve()
    sleepers(2)
    said = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "-o", "json")
    await asyncio.to_thread(file.write_text, said.out)
    assert qcfeed_("tasks", "--from", str(file), "-o", "json").out == said.out
    left = qcfeed_("tasks", "--by-location", "--site", "x.py", "--from", str(file))
    assert left.status == ExitStatus.USAGE
    assert "is a single answer, to which site cannot be applied" in left.err
    assert "qcfeed tasks --save FILE" in left.err


async def test_verify_from_saved_snapshots(watched, qcfeed_, sleepers, file: Path) -> None:
    watched.serve()
    files: list[str] = []

    async def moment() -> None:
        files.append(f"{file}.{len(files)}")
        await asyncio.to_thread(qcfeed_, "tasks", "--save", files[-1], "-o", "name")

    sleepers(1)
    for _ in range(6):
        await moment()
        sleepers(5)
    rows = json.loads(qcfeed_("tasks", "--by-location", "-o", "json", "--from", files[-1]).out)
    [site] = [r["location"] for r in rows["locations"] if r["function"].endswith("spawn")]
    given = [arg for path in reversed(files) for arg in ("--from", path)]
    left = qcfeed_("tasks", "verify", "--site", site, *given, "-o", "json")
    told = json.loads(left.out)
    assert (left.status, told["outcome"], told["looks"]) == (ExitStatus.FINDINGS, "leaks", 6)
    assert (told["spawned"], told["live_last"]) == (25, 26)
    assert told["seconds"] > 0
    short = qcfeed_("tasks", "verify", "--site", site, *given[:4], "-o", "json")
    assert "too short to tell: 2 samples" in json.loads(short.out)["reasons"][-1]
    alone = qcfeed_("tasks", "verify", "--site", site, *given[:2])
    assert (alone.status, "one snapshot proves nothing" in alone.err) == (ExitStatus.USAGE, True)


@pytest.mark.parametrize("flow", [["--watch"], ["--window", "1s"]])
@pytest.mark.parametrize("kept", ["--save", "--from"])
def test_window_and_watch_cannot_be_saved_or_read(
    qcfeed_, file: Path, flow: list[str], kept: str
) -> None:
    left = qcfeed_("tasks", *flow, kept, str(file))
    assert left.status == ExitStatus.USAGE
    assert "qcfeed tasks diff BEFORE AFTER" in left.err
