"""Run one program alone, or with one tool in it. ``python -m benchmarks.leaks.launch NAME``.

The program is not changed: the tool starts in the program's loop just before it.

    python -m benchmarks.leaks.launch race_per_watch --tool qcfeed --seconds 60
    qcfeed --instance race_per_watch diagnose
"""

from __future__ import annotations

import argparse
import asyncio
import importlib

from benchmarks.leaks.catalog import catalog
from benchmarks.leaks.inside import INSIDE
from benchmarks.leaks.program import arguments_of, bounded


def main() -> None:
    programs = {each.name: each for each in catalog()}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.leaks.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=programs, metavar="NAME", help="the program")
    parser.add_argument("--tool", choices=INSIDE, default="nothing", help="what runs inside it")
    parser.add_argument("--instance", help="qcfeed's name for the program; default: NAME")
    arguments = arguments_of(parser)
    program = importlib.import_module(programs[arguments.name].module)
    inside = INSIDE[arguments.tool](arguments.instance or arguments.name)
    asyncio.run(bounded(program.main, arguments.rate, arguments.seconds, inside))


if __name__ == "__main__":
    main()
