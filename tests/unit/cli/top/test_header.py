from __future__ import annotations

import pytest

from qcfeed.cli.top.header import Space, header
from qcfeed.cli.top.observer import Away, ServiceSnapshot
from qcfeed.cli.ui.sparkline import ASCII, BLOCKS
from qcfeed.metrics.growth import GrowthWindow

from .made import finding, health, process, refreshed

SPACE = Space()


def texts(
    snapshot: ServiceSnapshot | None,
    away: Away | None = None,
    away_s: float = 0.0,
    space: Space = SPACE,
) -> list[str]:
    return [line.text for line in header(snapshot, away, away_s, space)]


def test_the_first_lines_of_a_program_that_leaks() -> None:
    worst = GrowthWindow("5m", 30, 300.0, memory_bytes_per_hour=1e9, r2=0.99, time_to_limit_s=662.0)
    diagnosed = health(finding(left_s=662.0), finding("loop"), memory=[1.0, 2.0, 3.0], worst=worst)
    assert texts(refreshed(health=diagnosed)) == [
        "8006  pid 7, Python 3.11.9, attached 1m00s  02:15:00 UTC",
        "LEAK  3 tasks from feed.py:83 serve nobody; 11m02s left  (and 1 more: 5)",
        "memory  1.0 GiB of 4.0 GiB, 25%  ▁▅█  11m02s left, at the rate of the last 5m",
        "tasks   12 live, +60/min  ▁▅█  3 orphaned, loop lag 0.2 ms",
    ]


def test_before_the_second_snapshot_there_is_no_diagnosis() -> None:
    assert "collecting: a diagnosis needs two snapshots" in texts(refreshed(per_minute=None))


def test_the_first_line_says_that_the_service_is_away_or_does_not_answer() -> None:
    away = Away("cannot reach it", "is it running?", timed_out=False)
    first, hint, who, *_ = texts(refreshed(), away, 12.0)
    assert first == "AWAY for 12s: cannot reach it; trying again"
    assert hint == "  is it running?"
    assert who.endswith("as of 02:15:00 UTC")
    no_answer = texts(None, away._replace(timed_out=True), 0.0)
    assert no_answer[0].startswith("NO ANSWER for 0ms")


def test_a_stuck_loop_is_shown_with_its_innermost_calls() -> None:
    stack = [
        "  File a.py, line 1, in main\n",
        "  File b.py, line 2, in read\n",
        "    time.sleep()\n",
    ]
    lines = texts(refreshed(stuck_s=3.2, stack=stack))
    assert lines[1].startswith("STUCK  the loop has been stuck for 3.2s")
    assert lines[2:4] == ["  File b.py, line 2, in read", "  time.sleep()"]


def test_text_of_the_program_is_escaped() -> None:
    diagnosed = health(finding())
    diagnosed.diagnosis.findings[0].headline = "task \x1b[2J"
    assert all(line.isprintable() for line in texts(refreshed(health=diagnosed)))


def test_a_terminal_without_block_characters_gets_ascii() -> None:
    diagnosed = health(memory=[1.0, 2.0])
    assert all(
        line.isascii() for line in texts(refreshed(health=diagnosed), space=Space(blocks=ASCII))
    )


ALARMING = health(finding(left_s=662.0), memory=[1.0, 2.0, 3.0])
ALARMING.diagnosis.drill = "zombie-feeds=3"
STUCK = {"stuck_s": 3.0, "stack": ["  b.py:2 read", "  c.py:3 sleep"]}


@pytest.mark.parametrize("height", range(1, 14))
def test_a_low_screen_keeps_the_most_important_lines(height: int) -> None:
    lines = texts(
        refreshed(health=ALARMING, **STUCK),
        Away("gone", "start it", False),
        1.0,
        Space(height=height),
    )
    assert len(lines) <= max(3, height)
    assert [line.split()[0] for line in lines if line.split()[0].isupper()][:3] == [
        "AWAY",
        "STUCK",
        "LEAK",
    ]


def test_lines_are_left_out_in_this_order() -> None:
    diagnosed = [
        [line.split()[0] for line in texts(refreshed(health=ALARMING), space=Space(height=height))]
        for height in (5, 4, 3, 2, 1)
    ]
    assert diagnosed == [
        ["8006", "LEAK", "DRILL", "memory", "tasks"],
        ["LEAK", "DRILL", "memory", "tasks"],
        ["LEAK", "DRILL", "tasks"],
        ["LEAK", "tasks"],
        ["LEAK"],
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_sparkline_shrinks_before_the_numbers_do(width: int) -> None:
    snapshot = refreshed(totals=[47_829] * 60, per_minute=1551.0, health=health(memory=[1.0] * 60))
    memory, tasks = texts(snapshot, space=Space(width=width))[-2:]
    assert tasks.endswith("3 orphaned, loop lag 0.2 ms")
    assert memory.endswith("no steady growth in 59s")
    assert len(tasks) <= max(width, len("tasks   12 live, +1,551/min  3 orphaned, loop lag 0.2 ms"))
    assert sum(tasks.count(block) for block in BLOCKS) == {40: 0, 60: 2, 80: 20, 120: 20}[width]


def test_a_service_that_is_stuck_or_away_is_not_called_healthy() -> None:
    assert "HEALTHY" in "".join(texts(refreshed(health=health())))
    assert "HEALTHY" not in "".join(texts(refreshed(health=health(), **STUCK)))
    gone = Away("gone", "start it", timed_out=False)
    assert "HEALTHY" not in "".join(texts(refreshed(health=health()), gone))
    assert "LEAK" in "".join(texts(refreshed(health=health(finding())), gone))


def test_an_incomplete_ledger_is_not_called_healthy() -> None:
    incomplete = process()
    incomplete.totals.incomplete = ["cannot see 40 of 52 tasks: a reason"]
    lines = texts(refreshed(process=incomplete, health=health()))
    assert "HEALTHY" not in "".join(lines)
    assert "INCOMPLETE  cannot see 40 of 52 tasks" in lines
    diagnosed = health(finding("incomplete_ledger"))
    assert (
        sum("INCOMPLETE" in line for line in texts(refreshed(process=incomplete, health=diagnosed)))
        == 0
    )
