"""Tasks as flame graphs: the forms that other tools read."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import jsonschema
import pytest

from qcfeed.cli.tasks import export
from qcfeed.errors import ExitStatus
from qcfeed.model.saved_tasks import Place, TasksProfile, TaskStack

# As published in the npm package speedscope 1.25.0, with its licence beside it.
SCHEMA = Path(__file__).parents[3] / "assets" / "speedscope" / "file-format-schema.json"
LINE = re.compile(r"[^;]+(;[^;]+)* \d+")
"""Of collapsed stacks: frames with semicolons between, a space, a number."""

PROFILE = TasksProfile(
    instance="8006",
    taken_at="2024-03-20T02:15:00Z",
    total=47_829,
    sampled=500,
    places=[
        Place(location="feed.py:83", function="start_symbol_feed"),
        Place(location="feed.py:90", function="Feed.run"),
        Place(location="other", function=""),
        Place(location="<string>:1", function="odd;name\n"),
    ],
    stacks=[
        TaskStack(spawn_places=[0], wait_places=[1], kind="sleeping", count=47_000),
        TaskStack(spawn_places=[2], wait_places=[3, 1], kind="Queue.get", count=829),
    ],
)


def test_a_speedscope_file_is_as_its_schema_says() -> None:
    file = json.loads(export.speedscope(PROFILE))
    jsonschema.validate(file, json.loads(SCHEMA.read_text()))
    frames = file["shared"]["frames"]
    assert frames[0] == {"name": "start_symbol_feed", "file": "feed.py", "line": 83}
    assert frames[2] == {"name": "other"}
    whole, waits = file["profiles"]
    for each in (whole, waits):
        assert sum(each["weights"]) == each["endValue"] == 47_829
        assert len(each["samples"]) == len(each["weights"])
        assert max(max(sample) for sample in each["samples"]) < len(frames)
        assert "sampled: 500 of 47,829" in each["name"]
    names = [[frames[n]["name"] for n in sample] for sample in whole["samples"]]
    assert names[0] == ["start_symbol_feed", "[task]", "Feed.run", "sleeping"]
    assert [frames[n]["name"] for n in waits["samples"][0]] == ["Feed.run", "sleeping"]


def test_the_schema_would_tell() -> None:
    file = json.loads(export.speedscope(PROFILE))
    file["profiles"][0]["unit"] = "tasks"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(file, json.loads(SCHEMA.read_text()))


def test_collapsed_stacks_are_a_line_each() -> None:
    lines = export.collapsed(PROFILE).splitlines()
    assert lines == [
        "start_symbol_feed (feed.py:83);[task];Feed.run (feed.py:90);sleeping 47000",
        "other;[task];odd:name\\n (<string>:1);Feed.run (feed.py:90);Queue.get 829",
    ]
    assert all(LINE.fullmatch(line) for line in lines)


async def test_of_a_service(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(3)
    sleepers(2, orphaned=True)
    left = await asyncio.to_thread(qcfeed_, "tasks", "-o", "speedscope")
    file = json.loads(left.out)
    jsonschema.validate(file, json.loads(SCHEMA.read_text()))
    live = await asyncio.to_thread(qcfeed_, "tasks", "-o", "name")
    assert file["profiles"][0]["endValue"] == len(live.out.split())
    assert left.err == "", "it is no sample"
    some = await asyncio.to_thread(qcfeed_, "tasks", "--waiting-on", "future", "-o", "collapsed")
    lines = some.out.splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert sorted(int(line.rpartition(" ")[2]) for line in lines) == [2, 3]
    assert all(line.rpartition(" ")[0].endswith(";future") for line in lines)


async def test_sampling_and_left_out_stacks_are_reported(qcfeed_, tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_bytes(json.dumps({"schema": "qcfeed.tasks.profile/2"} | _with(unlisted=3)).encode())
    left = qcfeed_("tasks", "-o", "collapsed", "--from", str(file))
    assert left.status == ExitStatus.OK
    assert "sampled: 500 of 47,829: the stacks of each location are scaled up" in left.err
    assert "3 tasks with the rarest stacks are left out" in left.err


def _with(**fields: object) -> dict[str, object]:
    import msgspec

    return {**msgspec.to_builtins(PROFILE), **fields}


@pytest.mark.parametrize("form", ["speedscope", "collapsed"])
@pytest.mark.parametrize(
    "other", [["--tree"], ["--by", "label:symbol"], ["--watch"], ["--window", "1s"]]
)
def test_a_profile_is_of_stacks(qcfeed_, form: str, other: list[str]) -> None:
    left = qcfeed_("tasks", *other, "-o", form)
    assert left.status == ExitStatus.USAGE
    assert f"-o {form} cannot be combined with --tree" in left.err


def test_other_commands_do_not_have_flame_graph_formats(qcfeed_) -> None:
    assert qcfeed_("tasks", "show", "3", "-o", "speedscope").status == ExitStatus.USAGE
