from __future__ import annotations

import pytest

from qcfeed.cli.top.header import Room, head
from qcfeed.cli.top.observer import Away, Snapshot
from qcfeed.cli.ui.sparkline import ASCII, BLOCKS
from qcfeed.metrics.growth import Window

from .made import finding, judged, process, seen

ROOM = Room()


def texts(
    seen: Snapshot | None, away: Away | None = None, away_s: float = 0.0, room: Room = ROOM
) -> list[str]:
    return [line.text for line in head(seen, away, away_s, room)]


def test_the_first_lines_of_a_program_that_leaks() -> None:
    worst = Window("5m", 30, 300.0, memory_bytes_per_hour=1e9, r2=0.99, time_to_limit_s=662.0)
    told = judged(finding(left_s=662.0), finding("loop"), memory=[1.0, 2.0, 3.0], worst=worst)
    assert texts(seen(judged=told)) == [
        "8006  pid 7, Python 3.11.9, attached 1m00s  02:15:00 UTC",
        "LEAK  3 tasks from feed.py:83 serve nobody; 11m02s left  (and 1 more: 5)",
        "memory  1.0 GiB of 4.0 GiB, 25%  ▁▅█  11m02s left, at the rate of the last 5m",
        "tasks   12 live, +60/min  ▁▅█  3 orphaned, loop lag 0.2 ms",
    ]


def test_before_the_second_look_no_verdict_is_made_up() -> None:
    assert "looking: a verdict needs two looks" in texts(seen(per_minute=None))


def test_a_service_that_is_away_or_silent_is_said_so_first() -> None:
    away = Away("cannot reach it", "is it running?", silent=False)
    first, hint, who, *_ = texts(seen(), away, 12.0)
    assert first == "AWAY for 12s: cannot reach it; asking again"
    assert hint == "  is it running?"
    assert who.endswith("as it was at 02:15:00 UTC")
    silent = texts(None, away._replace(silent=True), 0.0)
    assert silent[0].startswith("SILENT for 0ms")


def test_a_stuck_loop_is_named_with_its_place() -> None:
    stack = [
        "  File a.py, line 1, in main\n",
        "  File b.py, line 2, in read\n",
        "    time.sleep()\n",
    ]
    lines = texts(seen(stuck_s=3.2, stack=stack))
    assert lines[1].startswith("STUCK  the loop has not turned for 3.2s")
    assert lines[2:4] == ["  File b.py, line 2, in read", "  time.sleep()"]


def test_what_the_program_says_cannot_steer_the_terminal() -> None:
    told = judged(finding())
    told.diagnosis.findings[0].headline = "task \x1b[2J"
    assert all(line.isprintable() for line in texts(seen(judged=told)))


def test_a_terminal_without_blocks_gets_ascii() -> None:
    told = judged(memory=[1.0, 2.0])
    assert all(line.isascii() for line in texts(seen(judged=told), room=Room(blocks=ASCII)))


LOUD = judged(finding(left_s=662.0), memory=[1.0, 2.0, 3.0])
LOUD.diagnosis.drill = "zombie-feeds=3"
STUCK = {"stuck_s": 3.0, "stack": ["  b.py:2 read", "  c.py:3 sleep"]}


@pytest.mark.parametrize("height", range(1, 14))
def test_on_a_low_screen_what_matters_most_stays(height: int) -> None:
    lines = texts(
        seen(judged=LOUD, **STUCK), Away("gone", "start it", False), 1.0, Room(height=height)
    )
    assert len(lines) <= max(3, height)
    assert [line.split()[0] for line in lines if line.split()[0].isupper()][:3] == [
        "AWAY",
        "STUCK",
        "LEAK",
    ]


def test_lines_go_in_this_order_as_a_screen_gets_lower() -> None:
    told = [
        [line.split()[0] for line in texts(seen(judged=LOUD), room=Room(height=height))]
        for height in (5, 4, 3, 2, 1)
    ]
    assert told == [
        ["8006", "LEAK", "DRILL", "memory", "tasks"],
        ["LEAK", "DRILL", "memory", "tasks"],
        ["LEAK", "DRILL", "tasks"],
        ["LEAK", "tasks"],
        ["LEAK"],
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_shape_gives_way_to_the_figures(width: int) -> None:
    look = seen(totals=[47_829] * 60, per_minute=1551.0, judged=judged(memory=[1.0] * 60))
    memory, tasks = texts(look, room=Room(width=width))[-2:]
    assert tasks.endswith("3 orphaned, loop lag 0.2 ms")
    assert memory.endswith("no steady growth in 0ms")
    assert len(tasks) <= max(width, len("tasks   12 live, +1,551/min  3 orphaned, loop lag 0.2 ms"))
    assert sum(tasks.count(block) for block in BLOCKS) == {40: 0, 60: 2, 80: 20, 120: 20}[width]


def test_what_is_stuck_or_has_gone_is_not_called_healthy_by_what_was_judged_before() -> None:
    assert "HEALTHY" in "".join(texts(seen(judged=judged())))
    assert "HEALTHY" not in "".join(texts(seen(judged=judged(), **STUCK)))
    gone = Away("gone", "start it", silent=False)
    assert "HEALTHY" not in "".join(texts(seen(judged=judged()), gone))
    assert "LEAK" in "".join(texts(seen(judged=judged(finding())), gone))


def test_a_ledger_that_does_not_see_all_tasks_is_not_called_healthy() -> None:
    blind = process()
    blind.tasks.incomplete = ["cannot see 40 of 52 tasks: a reason"]
    lines = texts(seen(held=blind, judged=judged()))
    assert "HEALTHY" not in "".join(lines)
    assert "BLIND  cannot see 40 of 52 tasks" in lines
    told = judged(finding("incomplete_ledger"))
    assert sum("BLIND" in line for line in texts(seen(held=blind, judged=told))) == 0
