from __future__ import annotations

import asyncio
import csv
import io
import json

import pytest

from qcfeed.errors import ExitStatus


async def test_by_location_has_a_row_a_line_and_a_total(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(3)
    sleepers(2, orphaned=True)
    left = await asyncio.to_thread(qcfeed_, "tasks", "--by-location")
    assert left.status == ExitStatus.OK, left.err
    header, *rows = [line.split() for line in left.out.splitlines()]
    assert header[:4] == ["LOCATION", "LIVE", "ORPHANED", "OLDEST"]
    counts = {row[0].rpartition("/")[2]: row[1:3] for row in rows}
    assert ["2", "2"] in counts.values()
    assert ["3", "0"] in counts.values()
    assert counts["total"][1] == "2"


async def test_by_location_as_json_is_the_services_answer_unchanged(
    watched, qcfeed_, sleepers
) -> None:
    watched.serve()
    sleepers(2, orphaned=True)
    left = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "-o", "json")
    answer = json.loads(left.out)
    assert left.out.endswith("}\n")
    assert answer["schema"] == "qcfeed.tasks.by_location/3"
    assert answer["instance"] == "8006"
    assert answer["totals"]["orphaned"] == 2
    assert {"location", "function", "live", "spawned", "finished", "cancelled", "failed",
            "oldest_s", "orphaned"} <= set(answer["locations"][0])  # fmt: skip


async def test_by_location_as_csv_and_names_has_no_total(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(3)
    left = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(left.out)))
    assert "3" in [row["live"] for row in rows]
    assert float(rows[0]["oldest_s"] or 0) >= 0
    names = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "-o", "name")
    assert {row["location"] for row in rows} <= set(names.out.splitlines())
    assert "total" not in names.out.splitlines()


async def test_tasks_are_listed_oldest_first_and_say_when_there_are_more(
    watched, qcfeed_, sleepers
) -> None:
    watched.serve()
    sleepers(5)
    left = await asyncio.to_thread(qcfeed_, "tasks", "--limit", "3", "-o", "csv")
    serials = [int(row["serial"]) for row in csv.DictReader(io.StringIO(left.out))]
    assert len(serials) == 3
    assert serials == sorted(serials)
    assert left.err.startswith("the 3 oldest of ")
    whole = await asyncio.to_thread(qcfeed_, "tasks")
    assert whole.err == ""
    assert whole.out.split("\n")[0].split() == [
        "SERIAL", "AGE", "NAME", "COROUTINE", "LOCATION", "STATE", "NOTE",
    ]  # fmt: skip


async def test_a_name_with_an_escape_sequence_stays_on_its_row(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    sleepers(1, name="evil\x1b[2J\nname")
    left = await asyncio.to_thread(qcfeed_, "tasks")
    assert "\x1b" not in left.out
    assert "evil\\x1b[2J\\nname" in left.out


async def test_with_two_instances_one_must_be_chosen(watched, qcfeed_) -> None:
    watched.serve("8006")
    watched.serve("8007")
    left = await asyncio.to_thread(qcfeed_, "tasks")
    assert left.status == ExitStatus.USAGE
    assert "2 instances run here: 8006 (pid " in left.err
    assert "name one: `qcfeed --instance 8006 ...`" in left.err
    named = await asyncio.to_thread(qcfeed_, "--instance", "8007", "tasks", "-o", "json")
    assert json.loads(named.out)["instance"] == "8007"


@pytest.mark.parametrize("output", ["table", "wide", "json", "csv", "name"])
async def test_every_format_ends_with_one_newline(watched, qcfeed_, output: str) -> None:
    watched.serve()
    left = await asyncio.to_thread(qcfeed_, "tasks", "--by-location", "-o", output)
    assert left.status == ExitStatus.OK
    assert left.out.endswith("\n")
    assert not left.out.endswith("\n\n")
