"""Run all of Autobahn's TestSuite and rewrite the tables of docs/conformance.md: `make conformance`.

Takes ten minutes on two quiet cores. Exits with 1 if a case failed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.conformance import autobahn
from tests.conformance.autobahn import Result

PAGE = autobahn.ROOT / "docs/conformance.md"
HOURS = 3600.0
_CATEGORIES = {
    "1": "framing", "2": "pings and pongs", "3": "reserved bits", "4": "opcodes", "5": "fragmentation",
    "6": "UTF-8", "7": "closing", "9": "limits and performance", "10": "miscellaneous",
    "12": "compression of various sizes", "13": "compression with various offers",
}  # fmt: skip
# `watch` offers no compression, so the suite has nothing to run there.
_CLIENT_HAS_NONE = ("12.*", "13.*")


def _run(
    against: Callable[..., list[Result]], cases: Sequence[str], excluded: Sequence[str]
) -> list[Result]:
    with tempfile.TemporaryDirectory() as directory:
        return against(cases, Path(directory), 4 * HOURS, excluded)


def table(results: Sequence[Result]) -> str:
    """The results per category, as a Markdown table."""
    lines = ["| category | cases | passed | not strict | informational | failed |", "|---|---|---|---|---|---|"]  # fmt: skip
    for number, name in [*_CATEGORIES.items(), ("", "**all**")]:
        chosen = [
            each for each in results if each.ran and each.case.split(".")[0] in (number or each.case.split(".")[0],)
        ]  # fmt: skip
        if not chosen:
            continue
        counts = [
            sum(each.behavior == word and not each.failed for each in chosen)
            for word in ("OK", "NON-STRICT", "INFORMATIONAL")
        ]
        row = [len(chosen), *counts, sum(each.failed for each in chosen)]
        lines.append(f"| {f'{number}: {name}' if number else name} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def rewrite(page: str, name: str, text: str) -> str:
    """``page`` with ``text`` between the markers of the table ``name``."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{PAGE.name} has no place for {name}")
    return f"{before}{begin}{text}\n{end}{after}"


def main() -> None:
    if not autobahn.WSTEST.exists():
        sys.exit(
            "Autobahn's TestSuite is not installed: python scripts/autobahn.py .tools/autobahn"
        )
    runs = {
        "server": _run(autobahn.against_the_server, ["*"], ()),
        "client": _run(autobahn.against_the_client, ["*"], _CLIENT_HAS_NONE),
    }
    page = PAGE.read_text()
    for name, results in runs.items():
        print(f"\n{name}\n{table(results)}")
        page = rewrite(page, name, table(results))
    PAGE.write_text(page)
    failed = [f"{name} {each}" for name, run in runs.items() for each in run if each.failed]
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main()
