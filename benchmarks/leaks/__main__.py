"""Which tool finds which leak, and accuses which sound program? ``python -m benchmarks.leaks``.

Each program runs once for each tool, alone with it in a process of its own, for --seconds or until the
tool blames it. docs/explanation/leaks-benchmark.md describes the programs, and how each tool is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import sys
from pathlib import Path

from benchmarks.leaks import report
from benchmarks.leaks.catalog import Program, catalog, table
from benchmarks.leaks.judging import Row, Said, judge, library_places
from benchmarks.leaks.program import RATE
from benchmarks.leaks.running import (
    NotAvailableError,
    environment_of,
    packages_of,
    running,
)
from benchmarks.leaks.tools import TOOLS, Tool

SECONDS = 90.0
JOBS = 8


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        print(table())
        return 0
    programs = [each for each in catalog() if not arguments.only or each.name in arguments.only]
    tools = [each for each in TOOLS if each.name in arguments.tools]
    earlier = report.saved_rows(json.loads(arguments.saved.read_text())) if arguments.saved else []
    rows = asyncio.run(_run_all(programs, tools, arguments))
    asked = {(each.program, each.tool) for each in rows}
    rows += [each for each in earlier if (each.program, each.tool) not in asked]
    scores = report.scores(
        rows, [each.name for each in TOOLS if each.name in {r.tool for r in rows}]
    )
    print(report.table(scores))
    context = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "rate": arguments.rate,
        "seconds": arguments.seconds,
    }
    if arguments.json:
        answer = report.as_json(scores, **context)
        arguments.json.write_text(json.dumps(answer, indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(report.markdown(scores) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=__doc__)
    names = [each.name for each in catalog()]
    tools = [each.name for each in TOOLS]
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help="run these programs only"
    )
    parser.add_argument(
        "--tools", nargs="+", choices=tools, default=tools, help="ask these tools only"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"for each program; default {SECONDS:g}"
    )
    parser.add_argument(
        "--rate", type=float, default=RATE, help=f"leaked tasks per second; default {RATE:g}"
    )
    parser.add_argument(
        "--jobs", type=int, default=JOBS, help=f"programs at the same time; default {JOBS}"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all results to FILE")
    parser.add_argument(
        "--with",
        dest="saved",
        metavar="FILE",
        type=Path,
        help="add results of an earlier run from its JSON",
    )
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables to FILE")
    parser.add_argument("--list", action="store_true", help="list the programs, and run none")
    return parser.parse_args()


async def _run_all(
    programs: list[Program], tools: list[Tool], arguments: argparse.Namespace
) -> list[Row]:
    slots = asyncio.Semaphore(arguments.jobs)

    async def run(program: Program, tool: Tool) -> Row:
        async with slots:
            row = await _run(program, tool, arguments.seconds, arguments.rate)
        where = ", ".join(str(each) for each in row.said.places[:1]) or row.said.skipped
        print(f"{tool.name:12}{program.name:28}{report.cell(row):18}{where}", file=sys.stderr)
        return row

    pairs = itertools.product(programs, tools)
    return await asyncio.gather(*(run(program, tool) for program, tool in pairs))


async def _run(program: Program, tool: Tool, seconds: float, rate: float) -> Row:
    try:
        python = await asyncio.to_thread(environment_of, program, tool.python())
        library = library_places(program, packages_of(python)) if program.libraries else []
        async with running(program, tool.inside, python, seconds, rate) as process:
            said = await tool.ask(process)
    except NotAvailableError as error:
        return judge(program, tool.name, Said(False, skipped=str(error)))
    return judge(program, tool.name, said, library)


if __name__ == "__main__":
    sys.exit(main())
