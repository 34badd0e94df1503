"""Run all of Autobahn's TestSuite and rewrite the tables of docs/reference/conformance.md: `make conformance`.

Takes half an hour on two quiet cores: the categories about compression send a thousand messages per case. Exits
with 1 if a case failed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance import autobahn
from tests.conformance.autobahn import Result

PAGE = autobahn.ROOT / "docs/reference/conformance.md"
_HOURS = 3_600.0
_CATEGORIES = {
    "1": "framing", "2": "pings and pongs", "3": "reserved bits", "4": "opcodes", "5": "fragmentation",
    "6": "UTF-8", "7": "closing", "9": "limits and performance", "10": "miscellaneous",
    "12": "compression of various sizes", "13": "compression with various offers",
}  # fmt: skip
_COMPRESSION = ("12.*", "13.*")
"""`watch` offers none, so the suite has nothing to run there."""
_Against = Callable[..., list[Result]]
_PARTS: tuple[tuple[str, _Against, Sequence[str], Sequence[str]], ...] = (
    ("server", autobahn.against_the_server, ("12.*",), ()),
    ("server", autobahn.against_the_server, ("13.1.*", "13.2.*", "13.3.*"), ()),
    ("server", autobahn.against_the_server, ("13.4.*", "13.5.*", "13.6.*", "13.7.*"), ()),
    ("server", autobahn.against_the_server, ("*",), _COMPRESSION),
    ("client", autobahn.against_the_client, ("*",), _COMPRESSION),
)
"""What runs side by side: the table, the direction, the cases, and those that are left out."""


def _run(part: tuple[str, _Against, Sequence[str], Sequence[str]]) -> tuple[str, list[Result]]:
    name, against, cases, excluded = part
    with tempfile.TemporaryDirectory() as directory:
        return name, against(cases, Path(directory), 4 * _HOURS, excluded)


def table(results: Sequence[Result]) -> str:
    """The results per category, as a Markdown table."""
    lines = [
        "| category | cases | passed | not strict | informational | failed |",
        "|---|---|---|---|---|---|",
    ]
    for number, name in _CATEGORIES.items():
        chosen = [each for each in results if each.ran and each.category == number]
        if chosen:
            lines.append(_row(f"{number}: {name}", chosen))
    lines.append(_row("**all**", [each for each in results if each.ran]))
    return "\n".join(lines)


def _row(title: str, results: Sequence[Result]) -> str:
    counts = [
        sum(each.behavior == word and not each.failed for each in results)
        for word in ("OK", "NON-STRICT", "INFORMATIONAL")
    ]
    cells = [title, len(results), *counts, sum(each.failed for each in results)]
    return f"| {' | '.join(map(str, cells))} |"


def rewrite(page: str, name: str, text: str) -> str:
    """``page`` with ``text`` between the markers of the table ``name``."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{PAGE.name} has no place for {name}")
    return f"{before}{begin}{text}\n{end}{after}"


def publish(results: dict[str, list[Result]]) -> list[str]:
    """Print the tables and write them to the page; returns the cases that failed."""
    page = PAGE.read_text()
    for name, run in results.items():
        print(f"\n{name}\n{table(run)}")
        page = rewrite(page, name, table(run))
    PAGE.write_text(page)
    return [f"{name} {each}" for name, run in results.items() for each in run if each.failed]


def main() -> None:
    if not autobahn.WSTEST.exists():
        sys.exit(
            "Autobahn's TestSuite is not installed: python scripts/autobahn.py .tools/autobahn"
        )
    results: dict[str, list[Result]] = {"server": [], "client": []}
    with ThreadPoolExecutor(os.cpu_count()) as parts:
        for name, found in parts.map(_run, _PARTS):
            results[name] += found
    sys.exit("\n".join(publish(results)) or None)


if __name__ == "__main__":
    main()
