"""Duration of whole commands from a cold start, as a ratio to `python -c "import typer"`.

Whole processes, interleaved in every round, against a small service; medians. Noise of the machine
affects all of them alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.serving import QCFEED, serving

YARDSTICK = [sys.executable, "-c", "import typer"]
COMMANDS = {
    "--version": ([QCFEED, "--version"], 1.5),
    "tasks --by-location": ([QCFEED, "tasks", "--by-location"], 2.0),
    "a TAB: options": ([QCFEED, "__complete", "fish", "tasks", "--"], 0.6),
    "a TAB: serials": ([QCFEED, "__complete", "fish", "tasks", "show", ""], 0.6),
}
"""Name -> command and goal."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, serving(home, "startup") as service:
        took = _measure(arguments.rounds, service.environment)
    unit = statistics.median(took["import typer"])
    print(f'python -c "import typer": {unit * 1000:.0f} ms, Python {platform.python_version()}')
    ratios = {name: statistics.median(took[name]) / unit for name in COMMANDS}
    for name, (_, goal) in COMMANDS.items():
        print(f"{name:22}{ratios[name]:6.2f} x   (goal {goal:g} x)")
    if arguments.json:
        arguments.json.write_text(json.dumps({"typer_s": unit, "ratios": ratios}, indent=2) + "\n")
    return int(any(ratios[name] > goal for name, (_, goal) in COMMANDS.items()))


def _measure(rounds: int, environment: dict[str, str]) -> dict[str, list[float]]:
    commands = {"import typer": YARDSTICK, **{name: each for name, (each, _) in COMMANDS.items()}}
    took: dict[str, list[float]] = {name: [] for name in commands}
    for warm in [False, *[True] * rounds]:
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            if warm:  # the first run writes the compiled files
                took[name].append(time.perf_counter() - begun)
    return took


if __name__ == "__main__":
    sys.exit(main())
