"""A figure that several pages have is the same on each, and the README leads to what a newcomer looks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
PERFORMANCE = (ROOT / "docs" / "explanation" / "performance.md").read_text()
LEAKS = (ROOT / "docs" / "explanation" / "leaks-benchmark.md").read_text()
NOTES = (ROOT / "docs" / "release-notes" / "0.2.0.md").read_text()
DECISIONS = ROOT / "docs" / "adr"

Table = dict[str, list[str]]


def table(page: str, head: str) -> Table:
    """The rows below the heading row that begins with ``head``, by their first cell."""
    below = page[page.index(f"\n{head}") + 1 :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in below]
    return {row[0]: row[1:] for row in cells}


def numbers(text: str) -> list[str]:
    return re.findall(r"\d[\d,]*(?:\.\d+)?", text)


def differing(brief: Table, full: Table, names: dict[str, str]) -> list[str]:
    """Figures of ``brief`` that the row of ``full`` does not have."""
    return [
        f"{row}: {figure}"
        for row, cells in brief.items()
        for figure in numbers(" ".join(cells))
        if figure not in numbers(" ".join(full[names.get(row, row)]))
    ]


def test_the_readme_has_the_fan_out_figures_of_the_performance_page() -> None:
    brief = table(README, "| | 1 x 1,000 at saturation")
    full = table(PERFORMANCE, "| | 1 x 1,000 at saturation")
    assert len(brief) == 3
    assert differing(brief, full, {"nats-server, WebSocket": "nats-server"}) == []


def test_the_readme_and_the_release_notes_have_the_results_of_the_leak_benchmark() -> None:
    brief = table(README, "| | leaks found, of 32")
    full = table(LEAKS, "| tool | leaks found")
    for name, cells in brief.items():
        tool = next(each for each in full if each in name)
        found, named, alarms, *times = [numbers(cell)[0] for cell in full[tool]]
        assert [numbers(cell)[0] for cell in cells[:3]] == [found, named, alarms], name
        assert [number for cell in cells[3:] for number in numbers(cell)] in (times, [])
    count = re.search(
        r"Of 32 leaks \((\d+) .*?, (\d+) .*?finds (\d+),.*? in (\d+) sound", NOTES, re.DOTALL
    )
    assert count
    assert int(count[1]) + int(count[2]) == 32
    assert list(count.groups()[2:]) == [full["qcfeed"][0].split()[0], "21"]


def test_a_figure_that_differs_is_found() -> None:
    assert differing(
        {"a": ["1,329,000 per second", "17.8 ms"]}, {"b": ["1,329,000", "17.9 ms"]}, {"a": "b"}
    ) == ["a: 17.8"]


@pytest.mark.parametrize(
    "page",
    [
        "tutorial", "how-to/any-program", "how-to/attaching", "how-to/leak-tests", "how-to/deploying", "how-to/kubernetes",
        "how-to/exposing", "how-to/prometheus", "how-to/upstreams", "how-to/writing-runbooks",
    ],
)  # fmt: skip
def test_the_readme_leads_to_each_task_of_a_newcomer(page: str) -> None:
    assert f"](docs/{page}.md" in README


def test_the_list_of_decisions_has_their_titles_in_order() -> None:
    titles = [path.read_text().split("\n")[0] for path in sorted(DECISIONS.glob("0*.md"))]
    listed = re.findall(
        r"^\| \[(\d+)\]\(\S+\) \| (.+) \|$", (DECISIONS / "README.md").read_text(), re.MULTILINE
    )
    assert [f"# {number}: {title}" for number, title in listed] == titles
