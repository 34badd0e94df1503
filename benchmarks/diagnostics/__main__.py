"""Cost of observing tasks, beside peers, in one run on one machine.

- Create and finish: CPU time of the loop's thread, the minimum of interleaved rounds (other load only
  adds to it), as a ratio to the plain loop.
- Memory: resident bytes per sleeping task.
- Reading: duration of a snapshot in milliseconds, and the longest gap of a 1 ms ticker in the watched
  loop meanwhile, as the median and the maximum of 5 snapshots. An undisturbed loop shows 1.1 ms.
- Reaping: the same for one reaping of all tasks, and the stall that its answer reports.

Every snapshot, reaping and memory figure is taken in a fresh process. ``--full`` takes some minutes, the
default about one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.diagnostics import reading, reaping, spawning
from benchmarks.diagnostics.peers import PEERS

INCIDENT = 47_829
MILLION = 1_000_000
PARTS = ("spawning", "reading", "reaping")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnostics", description=__doc__)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="what to measure")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of create and finish")
    parser.add_argument("--reapings", type=int, default=3, help="reapings per number of tasks")
    parser.add_argument(
        "--full", action="store_true", help="also measure a million tasks (some minutes)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # asyncio's debug mode reports slow callbacks
    if arguments.part:
        # os._exit skips the cancellation of sleeping tasks, which takes a minute for a million.
        print(json.dumps(_part(*arguments.part)), flush=True)
        os._exit(0)
    sizes = [INCIDENT, 200_000, *([MILLION] if arguments.full else [])]
    figures: dict[str, Any] = {"python": platform.python_version(), "cpus": os.cpu_count()}
    if "spawning" in arguments.only:
        figures["spawning"] = _spawning(arguments.rounds)
    if "reading" in arguments.only:
        figures["reading"] = {str(number): _reading(number) for number in sizes}
    if "reaping" in arguments.only:
        figures["reaping"] = _reaping(sizes, arguments.reapings)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def _part(kind: str, *rest: str) -> Any:
    if kind == "memory":
        return spawning.memory(rest[0])
    if kind == "reaping":
        loop, number = rest
        with asyncio.Runner(loop_factory=PEERS[loop].loop) as runner:
            return runner.run(reaping.reap(int(number)))
    program, number, owned = rest
    return asyncio.run(reading.PROGRAMS[program](int(number), owned == "owned"))


def _apart(*part: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.diagnostics", "--part", *part]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _spawning(rounds: int) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, list[float]]] = {
        name: {"burst_ns": [], "awaited_ns": [], "memory_bytes": []} for name in PEERS
    }
    for n in range(rounds):
        for name, peer in PEERS.items():
            figures[name]["burst_ns"].append(spawning.burst(name))
            figures[name]["awaited_ns"].append(spawning.awaited(name))
            if n < (1 if peer.slow else 3):
                figures[name]["memory_bytes"].append(_apart("memory", name))
    least = {
        name: {kind: min(values) for kind, values in kinds.items()}
        for name, kinds in figures.items()
    }
    print(f"{'':18}{'create + finish':>20}{'one by one':>20}{'a sleeping task':>20}")
    for name, peer in PEERS.items():
        cells = ""
        for kind, unit in (("burst_ns", "ns"), ("awaited_ns", "ns"), ("memory_bytes", "B ")):
            value = least[name][kind]
            cells += f"{value:9,.0f} {unit}{value / least[peer.base][kind]:6.2f} x"
        print(f"{name:18}{cells}", flush=True)
    return least


def _reading(number: int) -> dict[str, Any]:
    parts = {
        "tasks without owner": ("qcfeed", "free"),
        f"{reading.PER_OWNER} tasks per owner": ("qcfeed", "owned"),
        "peers": ("all_tasks", "free"),
    }
    if number <= 50_000:  # aiomonitor takes seconds per listing, and memory in proportion
        parts["aiomonitor"] = ("aiomonitor", "free")
    print(f"\n{number:,} sleeping tasks{'took':>24}{'longest gap':>16}{'worst of all':>16}")
    figures = {}
    for title, (program, owned) in parts.items():
        figures[title] = _apart("reading", program, str(number), owned)
        print(f"- {title}")
        for name, row in figures[title].items():
            took, gap, worst = (row[key] for key in ("took_ms", "gap_ms", "longest_gap_ms"))
            print(f"  {name:34}{took:8,.0f} ms{gap:13,.1f} ms{worst:13,.1f} ms", flush=True)
    return figures


def _reaping(sizes: list[int], rounds: int) -> dict[str, Any]:
    """Interleave the sizes round by round, so that a disturbance of the machine affects all of them."""
    loops = [name for name in ("plain asyncio", "plain uvloop") if name in PEERS]
    taken: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for each in itertools.product(loops, sizes):
            taken.setdefault(each, []).append(_apart("reaping", each[0], str(each[1])))
    print(f"\n{'reaped, median (worst)':34}{'took':>22}{'longest gap':>22}{'reported stall':>22}")
    figures: dict[str, Any] = {}
    for (loop, number), rows in taken.items():
        cells = ""
        for key in ("took_ms", "gap_ms", "stall_ms"):
            values = [row[key] for row in rows]
            cells += f"{statistics.median(values):11,.1f} ({max(values):,.1f})".ljust(19) + " ms"
        print(f"{number:9,} on {loop.removeprefix('plain '):22}{cells}", flush=True)
        figures.setdefault(loop, {})[str(number)] = rows
    return figures


if __name__ == "__main__":
    main()
