"""The results as a table, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.leaks.judging import Place, Row, Said, Score

SCHEMA = "qcfeed.bench.leaks/1"
HEADER = ("tool", "leaks found", "line named", "false alarms", "median", "slowest")


def scores(rows: Iterable[Row], tools: Sequence[str]) -> list[Score]:
    by_tool = {tool: Score(tool) for tool in tools}
    for row in rows:
        by_tool[row.tool].rows.append(row)
    return list(by_tool.values())


def summary(score: Score) -> tuple[str, ...]:
    """One line per tool."""
    figures = score.figures
    leaky, sound = figures["leaky"], figures["sound"]
    return (
        score.tool,
        f"{figures['found']} of {leaky}",
        f"{figures['named']} of {leaky}",
        f"{figures['false_alarms']} of {sound}",
        _seconds(figures["median_s"]),
        _seconds(figures["slowest_s"]),
    )


def cell(row: Row) -> str:
    """What one tool said of one program."""
    if row.said.skipped:
        return "skipped"
    if not row.leaks:
        return "FALSE ALARM" if row.said.blames else "ok"
    if not row.said.blames:
        return "missed"
    return f"{_seconds(row.said.seconds)}, {'line' if row.named else 'no line'}"


def table(found: Sequence[Score]) -> str:
    rows = [HEADER, *(summary(each) for each in found)]
    tools = [each.tool for each in found]
    blocks = [rows, [("program", *tools), *_by_program(found)]]
    return "\n\n".join("\n".join(_aligned(block)) for block in blocks)


def markdown(found: Sequence[Score]) -> str:
    lines = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *(summary(each) for each in found)]
    tools = [each.tool for each in found]
    more = [("program", *tools), ("---",) * (1 + len(tools)), *_by_program(found)]
    return "\n\n".join(
        "\n".join("| " + " | ".join(line) + " |" for line in block) for block in (lines, more)
    )


def as_json(found: Sequence[Score], **context: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        **context,
        "tools": {each.tool: each.figures for each in found},
        "rows": [asdict(row) for each in found for row in each.rows],
    }


def saved_rows(answer: Mapping[str, Any]) -> list[Row]:
    """The rows of an earlier run. Raises ValueError if it was saved by another version."""
    if answer.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {answer.get('schema')}, and this version reads {SCHEMA}")
    rows = []
    for row in answer["rows"]:
        said = row["said"]
        shown = tuple(Place(**each) for each in said["places"])
        rows.append(Row(**row | {"said": Said(**said | {"places": shown})}))
    return rows


def _by_program(found: Sequence[Score]) -> list[tuple[str, ...]]:
    cells = {(row.program, each.tool): cell(row) for each in found for row in each.rows}
    programs = dict.fromkeys(row.program for each in found for row in each.rows)
    tools = [each.tool for each in found]
    return [(name, *(cells.get((name, tool), "") for tool in tools)) for name in programs]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(each) for each in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"
