"""The report's blocks, and their Markdown and HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnose.report import html, markdown, sections, svg, time_sections
from qcfeed.diagnose.report.blocks import (
    Bars,
    Block,
    Code,
    Curve,
    Facts,
    Grid,
    Heading,
    Items,
    Paragraph,
)
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnose.verdict import diagnose
from qcfeed.model.report import AuditEntries, Configuration, LogLine, LogLines, Setting
from qcfeed.model.status import Memory
from qcfeed.model.tasks import Task, Tasks
from tests.support import incident as night
from tests.support.evidence_builders import LEAKY, feed, healthy, leak, location, snapshot

NASTY = "a|b *c* <script>alert(1)</script> `d` & \x1b[31m_e_ f_g"


def material(evidence: Evidence, **more: Any) -> Material:
    return Material(
        diagnosis=diagnose(evidence), evidence=evidence, host="prod-1", version="1.0", **more
    )


def section(blocks: list[Block], title: str) -> list[Block]:
    """The blocks under a heading, up to the next heading of its level."""
    begin = blocks.index(Heading(title)) + 1
    rest = blocks[begin:]
    ends = [n for n, each in enumerate(rest) if isinstance(each, Heading) and each.level == 2]
    return rest[: ends[0]] if ends else rest


def test_the_timeline_of_the_incident_has_its_first_and_last_row() -> None:
    report = sections.blocks(material(leak(history=night.points(), history_source="Prometheus")))
    blocks = section(report, "Timeline")
    text, memory, tasks, grid = blocks
    assert text == Paragraph("Source: Prometheus.")
    assert isinstance(memory, Curve)
    assert memory.labels == ("0", "14.2 GiB", "00:00:00", "02:15:00")
    assert isinstance(tasks, Curve)
    assert isinstance(grid, Grid)
    assert grid.rows[0][:4] == ("00:00:00", "2.1 GiB", "1,247", "342")
    assert grid.rows[-1][:4] == ("02:15:00", "14.2 GiB", "47,829", "15,892")
    assert len(grid.rows) == time_sections.TIMELINE_ROWS
    assert grid.right == {1, 2, 3, 4}, "its numbers are aligned, its times are not"


def test_without_history_the_timeline_names_its_window() -> None:
    (text, *_) = section(sections.blocks(material(leak())), "Timeline")
    assert isinstance(text, Paragraph)
    assert "covers the 5.0s in which this report was made" in text.text


def test_stale_symbols_are_listed_oldest_first() -> None:
    evidence = healthy(
        feeds=[
            feed("AAPL", band="stale", reason="upstream_silent", age_s=16.0),
            feed("AMZN", band="dead", age_s=1_208.0, last_quote_at="2024-03-20T01:55:12.000Z"),
            feed("IBM"),
            feed("TSLA", band="stale", age_s=None),
            feed("MSFT", band="stale", age_s=0.5),
        ]
    )
    (_, grid) = section(sections.blocks(material(evidence)), "Quote staleness")
    assert isinstance(grid, Grid)
    assert [tuple(row) for row in grid.rows] == [
        ("AMZN", "01:55:12", "20m08s", "DEAD", "-"),
        ("AAPL", "never", "16s", "STALE", "upstream silent"),
        ("MSFT", "never", "500ms", "STALE", "-"),
        ("TSLA", "never", "-", "STALE", "-"),
    ]


def test_the_task_dump_shows_orphans_first() -> None:
    rows = [
        Task(
            serial=n,
            age_s=13_620.0,
            name="t",
            coroutine="c",
            location=LEAKY,
            state="sleeping 1.0 s",
        )
        for n in range(50)
    ]
    listed = Tasks(total=50, totals=leak().after.totals, tasks=rows)
    (text, code) = section(sections.blocks(material(leak(), tasks=listed)), "Task dump")
    assert text == Paragraph("Showing 3 orphaned tasks; 50 live tasks in total.")
    assert isinstance(code, Code)
    assert code.text.startswith(f"Task #0 [ALIVE for 3h47m] t\n  spawn location: {LEAKY}\n")
    assert "note: owner subscriber 812 of AAPL closed 720.0 s ago" in code.text


def test_a_line_that_repeats_is_one_line() -> None:
    line = LogLine(
        at="2024-03-20T01:45:23.000Z", level="WARNING", logger="market::feed",
        message="No receivers for AAPL", repeated=14_012, last_at="2024-03-20T02:15:00.000Z",
    )  # fmt: skip
    log = LogLines(dropped_lines=7, lines=[line])
    (code, text) = section(sections.blocks(material(leak(), log=log)), "Log excerpt")
    assert isinstance(code, Code)
    assert code.text.endswith(
        "No receivers for AAPL   (14,012 times, until 2024-03-20T02:15:00.000Z)"
    )
    assert text == Paragraph("7 older lines left out.")


def test_actions_and_settings() -> None:
    entries = [
        {"at": "2024-03-20T02:31:00.000000Z", "event": "intent", "action": "orphans.reap",
         "who": {"via": "unix", "uid": 0, "user": "kim"}, "request": {"batch": 500}},
        {"at": "2024-03-20T02:31:01.000000Z", "event": "outcome", "action": "orphans.reap",
         "who": {"via": "unix", "uid": 0, "user": "kim"}, "outcome": "done",
         "after": {"reaped": 47_829, "survivors": []}},
    ]  # fmt: skip
    report = sections.blocks(
        material(
            leak(),
            actions=AuditEntries(file="x", dropped_bytes=0, entries=entries),
            config=Configuration(
                settings=[
                    Setting(name="port", value="8006", default=True),
                    Setting(name="linger", value="0.5", default=False),
                ]
            ),
        )
    )
    (grid,) = section(report, "Actions taken")
    assert isinstance(grid, Grid)
    assert tuple(grid.rows[1]) == ("02:31:01", "orphans.reap", "done", "kim", "reaped 47829")
    assert section(report, "Configuration")[-1] == Facts([("linger", "0.5")])


def test_missing_answers_are_listed() -> None:
    report = sections.blocks(
        material(replace(leak(), skipped=["feeds: gone"]), dropped=["log: no"])
    )
    assert report[-1] == Items(["feeds: gone", "log: no"])


EVERY_BLOCK: list[Block] = [
    Heading(NASTY, 1),
    Paragraph(NASTY),
    Facts([(NASTY, NASTY)]),
    Grid((NASTY, "n"), [(NASTY, "1"), ("line\nbreak", "2")], frozenset({1})),
    Code(f"``` {NASTY}"),
    Items([NASTY]),
    Curve(NASTY, [(0.0, 1.0), (5.0, 2.0)], ("0", NASTY, "a", "b")),
    Bars(NASTY, [(NASTY, 3.0, NASTY), ("b", 0.0, "0")]),
]


def test_markdown_escapes_all_text() -> None:
    report = markdown.render(EVERY_BLOCK)
    rows = [line for line in report.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    assert not re.search(r"(?<!\\)<script", report.partition("````")[0])
    assert "````text\n``` " in report
    assert "f_g" in report


def test_html_is_well_formed_and_escapes_all_text() -> None:
    report = html.render(EVERY_BLOCK).replace("\x1b", "")
    assert "<script" not in report
    body = report[report.index("<body>") : report.index("</html>")]
    root = ET.fromstring(body)
    assert [each.tag for each in root] == ["h1", "p", "dl", "div", "pre", "ul", "svg", "svg"]


@pytest.mark.parametrize("points", [[], [(7.0, 0.0)], [(7.0, 5.0), (7.0, 5.0)]])
def test_a_curve_of_few_points_is_drawn(points: list[tuple[float, float]]) -> None:
    drawn = ET.fromstring(svg.curve(Curve("t", points, ("0", "1", "a", "b"))))
    assert "nan" not in ET.tostring(drawn, "unicode")


def test_a_curve_rises_to_the_top_and_ends_at_the_right() -> None:
    drawn = svg.curve(Curve("t", [(0.0, 0.0), (10.0, 4.0)], ("0", "4", "a", "b")))
    line = re.search(r'polyline class="curve" points="([^"]+)"', drawn)
    assert line is not None
    (x0, y0), (x1, y1) = (map(float, pair.split(",")) for pair in line[1].split())
    assert (x0, y0) == (svg.LEFT, svg.HEIGHT - svg.BOTTOM)
    assert (x1, y1) == (svg.WIDTH - svg.RIGHT, svg.TOP)


def test_a_program_without_feeds_has_no_staleness() -> None:
    report = sections.blocks(material(healthy(status=None, feeds=[])))
    assert Heading("Quote staleness") not in report
    assert isinstance(section(report, "Subscriptions")[0], Paragraph)


def test_a_healthy_service_is_reported_as_such() -> None:
    rows = (location(f"a{n}.py:1", live=n) for n in range(40))
    report = sections.blocks(material(healthy(after=snapshot(*rows, after_s=5.0))))
    assert isinstance(report[0], Heading)
    assert report[0].text.startswith("HEALTHY")
    assert section(report, "Findings")[0] == Paragraph("No problem found.")


def test_growth_windows_and_alerts_are_both_reported() -> None:
    """The incident: less than four minutes left at the rate of the last 15 minutes."""
    held = Memory(resident_bytes=round(14.2 * 2**30), limit_bytes=16 * 2**30, limit_source="x")
    (_, grid) = section(
        sections.blocks(material(leak(history=night.points(), memory=held))), "Alert details"
    )
    assert isinstance(grid, Grid)
    assert {row[0] for row in grid.rows} == {"5m", "15m", "1h", "whole"}
    assert grid.rows[0][4].startswith("3m5")
