from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from qcfeed.cli import tasks_saved
from qcfeed.control.answers import TasksByLocation, TaskTotals
from qcfeed.errors import ExitStatus, UsageError

CENSUS = b'{"schema":"qcfeed.tasks.by_location/1","totals":{"live":1},"locations":[]}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "census.json"


def test_what_was_written_is_read_again(file: Path) -> None:
    tasks_saved.write(file, CENSUS)
    answer, raw = tasks_saved.read(file, TasksByLocation)
    assert (answer.totals, raw) == (TaskTotals(live=1), CENSUS)
    assert list(file.parent.glob(".*")) == [], "nothing beside it"


def test_a_field_of_a_later_version_does_no_harm(file: Path) -> None:
    file.write_bytes(CENSUS.replace(b'"totals"', b'"novel":[1],"totals"'))
    assert tasks_saved.read(file, TasksByLocation)[0].totals.live == 1


def test_a_failed_write_leaves_the_earlier_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks_saved.write(file, CENSUS)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        tasks_saved.write(file, b"{}")
    assert tasks_saved.read(file, TasksByLocation)[1] == CENSUS
    assert list(file.parent.glob(".*")) == [], "nothing beside it"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "no answer of qcfeed, or not all of one"),
        (CENSUS[:40], "no answer of qcfeed, or not all of one"),
        (b"\x00\xff\xfe", "no answer of qcfeed, or not all of one"),
        (b"[1, 2]", "no answer of qcfeed, or not all of one"),
        (b'{"name": "qcfeed"}', "is JSON, but no answer of qcfeed"),
        (CENSUS.replace(b"/1", b"/2"), "was written by another version of qcfeed"),
        (b'{"schema":"qcfeed.tasks/1"}', "holds qcfeed.tasks/1; qcfeed.tasks.by_location/1 is"),
        (b'{"schema":"qcfeed.tasks.by_location/1"}', "and is not: Object missing required field"),
        (CENSUS.replace(b"1}", b'"x"}'), "and is not: Expected `int`"),
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


def test_a_directory_that_is_not_there_and_one_in_the_way(qcfeed_, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        tasks_saved.write(tmp_path / "none" / "x.json", CENSUS)
    assert qcfeed_("tasks", "--from", str(tmp_path)).status == ExitStatus.USAGE


async def test_saved_by_a_service_and_shown_without_it(
    watched, qcfeed_, sleepers, file: Path
) -> None:
    server = watched.serve()
    sleepers(3)
    said = await asyncio.to_thread(
        qcfeed_, "tasks", "--by-location", "--save", str(file), "-o", "json"
    )
    assert (await asyncio.to_thread(file.read_text)) == said.out, "as it came"
    oldest = file.with_name("oldest.json")
    await asyncio.to_thread(qcfeed_, "tasks", "--save", str(oldest), "-o", "name")
    await asyncio.to_thread(server.stop)

    assert qcfeed_("tasks").status == ExitStatus.UNREACHABLE
    shown = qcfeed_("tasks", "--from", str(file), "-o", "json")
    assert json.loads(shown.out)["schema"] == "qcfeed.tasks.by_location/1"
    assert qcfeed_("tasks", "--from", str(file)).out.startswith("LOCATION ")
    assert qcfeed_("tasks", "--from", str(oldest)).out.startswith("SERIAL ")
    cut = qcfeed_("tasks", "--from", str(oldest), "--limit", "2")
    assert len(cut.out.splitlines()) == 3
    assert cut.err.startswith("the 2 oldest of ")


@pytest.mark.parametrize("flow", [["--watch"], ["--window", "1s"]])
@pytest.mark.parametrize("kept", ["--save", "--from"])
def test_a_flow_is_no_census(qcfeed_, file: Path, flow: list[str], kept: str) -> None:
    left = qcfeed_("tasks", *flow, kept, str(file))
    assert left.status == ExitStatus.USAGE
    assert "qcfeed tasks diff BEFORE AFTER" in left.err
