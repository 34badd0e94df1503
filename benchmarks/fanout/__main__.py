"""Fan-out beside its peers, in one run on one machine.

Every measurement has a server of its own, on the first core, and readers on the last (a C program,
whose share of its core is shown: near 100 % it is the limit). Rounds are interleaved: a workload's
peers one after another, then again. What is shown is the median. A quote is late by what has passed
since it was due. ``--quick`` takes about two minutes, the whole with five rounds three quarters of an
hour.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fanout import building, machine, plot, report
from benchmarks.fanout.measuring import measure
from benchmarks.fanout.peers import PEERS, Peer
from benchmarks.fanout.processes import MeasurementError, allow_many_files
from benchmarks.fanout.workloads import Workload, workloads

SPARE_FILES = 300
SCHEMA = "qcfeed.bench.fanout/1"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way
    arguments = _arguments()
    if building.compiler() is None:
        print("the readers are a C program, and no compiler is here", file=sys.stderr)
        return 1
    chosen = [each for each in PEERS if not arguments.peers or each.name in arguments.peers]
    about = machine.describe()
    for name, value in about.items():
        print(f"{name:12}{value}")
    present = list(_present(chosen))
    wanted = [
        each
        for each in workloads(stopped_for=arguments.stopped_for, idle=arguments.idle)
        if not arguments.workloads or each.name in arguments.workloads
    ]
    rounds = _run(present, wanted, arguments.rounds, arguments.seconds)
    figures = report.medians(rounds)
    print("\n" + "\n".join(report.goals(figures)))
    if arguments.json:
        answer = {
            "schema": SCHEMA,
            "machine": about,
            "seconds": arguments.seconds,
            "workloads": {each.name: dataclasses.asdict(each) for each in wanted},
            "medians": figures,
            "rounds": rounds,
        }
        arguments.json.write_text(json.dumps(answer, indent=1) + "\n")
    if arguments.plot:
        if reason := plot.missing():
            print(f"no plot: {reason}", file=sys.stderr)
        else:
            plot.draw(figures, arguments.plot)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    names = [each.name for each in workloads(stopped_for=0)]
    parser.add_argument("--workloads", nargs="+", choices=names, help="only these")
    parser.add_argument(
        "--peers", nargs="+", choices=[each.name for each in PEERS], help="only these"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--stopped-for", type=float, help="seconds that ten do not read")
    parser.add_argument("--idle", type=int, default=10_000, help="readers of the memory workload")
    parser.add_argument(
        "--quick", action="store_true", help="1 round of 1 s each, a stop of 3 s; else 5, 3 s, 60 s"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write every round's figures there"
    )
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw them: .svg or .png")
    arguments = parser.parse_args()
    usual = (1, 1.0, 3.0) if arguments.quick else (5, 3.0, 60.0)
    for name, value in zip(("rounds", "seconds", "stopped_for"), usual, strict=True):
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def _present(chosen: list[Peer]) -> Iterator[Peer]:
    for peer in chosen:
        if reason := peer.missing():
            print(f"not measured: {peer.title}: {reason}")
        else:
            yield peer


def _run(peers: list[Peer], wanted: list[Workload], number: int, seconds: float) -> report.Rounds:
    """Every workload's rounds, its table printed as soon as they are through."""
    files = allow_many_files()
    rounds: report.Rounds = {}
    with tempfile.TemporaryDirectory(prefix="qcfeed-bench-") as directory:
        program = building.build("readers", Path(directory))
        for workload in wanted:
            if workload.readers + SPARE_FILES > files:
                print(f"\nnot measured: {workload.title}: only {files} files may be open")
                continue
            rounds[workload.name] = {peer.name: [] for peer in peers}
            for _ in range(number):
                _round(peers, workload, program, seconds, rounds[workload.name])
            print("\n" + report.table(workload, report.medians(rounds)[workload.name]), flush=True)
    return rounds


def _round(
    peers: list[Peer],
    workload: Workload,
    program: Path,
    seconds: float,
    into: dict[str, list[dict[str, float]]],
) -> None:
    for peer in peers:
        if workload.kind in peer.leaves_out:
            continue
        try:
            into[peer.name].append(measure(peer, workload, program, seconds))
        except MeasurementError as error:
            print(f"{peer.title}, {workload.title}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
