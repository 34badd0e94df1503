"""Fan-out beside peers, in one run on one machine.

Every measurement starts a fresh server on the first core, and readers on the last. The readers are a C
program; the table shows its share of its core, and near 100 % the readers are the limit. A round is
every workload; each workload measures the peers in turn. Figures are medians over the rounds. The
latency of a quote counts from the time at which it was due. ``--quick`` takes about five minutes, five
full rounds about 45. With ``--json FILE`` an interrupted run loses nothing: ``--resume`` continues it.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fanout import building, goals, machine, plot, report, results
from benchmarks.fanout.peers import PEERS, Peer
from benchmarks.fanout.results import Results
from benchmarks.fanout.running import run, say
from benchmarks.fanout.workloads import Workload, workloads


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # child processes end during the exit
    arguments = _arguments()
    if building.compiler() is None:
        say("the readers are a C program, and there is no C compiler")
        return 1
    if arguments.plot and (reason := plot.missing()):
        say(f"the plot cannot be drawn: {reason}")
        return 1
    wanted = _wanted(arguments)
    try:
        measured = _results(arguments, wanted)
    except (OSError, ValueError) as error:
        say(f"cannot go on: {error}")
        return 1

    def keep() -> None:
        if arguments.json:
            measured.save(arguments.json)

    status = 0
    try:
        run(measured, list(_present(arguments.peers)), wanted, arguments.rounds, keep)
    except KeyboardInterrupt:
        status = 130  # results so far are still printed
    keep()
    print(_markdown(measured) if arguments.markdown else _text(measured))
    if arguments.plot:
        plot.draw(measured, arguments.plot)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    names = [each.name for each in workloads(stopped_for=0)]
    parser.add_argument("--workloads", nargs="+", choices=names, help="run only these")
    parser.add_argument(
        "--peers", nargs="+", choices=[each.name for each in PEERS], help="run only these"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="seconds per measurement")
    parser.add_argument(
        "--stopped-for", type=float, help="seconds in which ten readers do not read"
    )
    parser.add_argument("--idle", type=int, default=10_000, help="readers of the memory workload")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="1 round of 1 s, a stop of 3 s; default: 5 rounds of 2 s, 60 s",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write each round's figures to FILE after it"
    )
    parser.add_argument(
        "--resume", action="store_true",
        help="continue --json FILE until it has --rounds of everything; 0: only print it",
    )  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print tables for the docs")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw them: .svg or .png")
    arguments = parser.parse_args()
    if arguments.resume and not arguments.json:
        parser.error("--resume goes on with a file: say which by --json")
    usual = (1, 1.0, 3.0) if arguments.quick else (5, 2.0, 60.0)
    for name, value in zip(("rounds", "seconds", "stopped_for"), usual, strict=True):
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def _wanted(arguments: argparse.Namespace) -> list[Workload]:
    every = workloads(stopped_for=arguments.stopped_for, idle=arguments.idle)
    return [each for each in every if not arguments.workloads or each.name in arguments.workloads]


def _results(arguments: argparse.Namespace, wanted: list[Workload]) -> Results:
    """Those to go on with, or none yet. Raises OSError and ValueError."""
    if not arguments.resume:
        about = machine.describe()
        return Results(results.SCHEMA, about, arguments.seconds, {w.name: w for w in wanted})
    measured = results.load(arguments.json)
    if arguments.rounds:
        _same(measured, arguments.seconds, wanted)
    return measured


def _same(measured: Results, seconds: float, wanted: list[Workload]) -> None:
    """Rounds of different lengths, or of another machine's, have no median."""
    if measured.seconds != seconds:
        raise ValueError(f"its measurements took {measured.seconds:g} s each, not {seconds:g}")
    here, there = machine.describe(), measured.machine
    for name in sorted((here.keys() | there.keys()) - {"load"}):
        if here.get(name) != there.get(name):
            raise ValueError(f"{name} was {there.get(name)} and is {here.get(name)}")
    for workload in wanted:
        if measured.workloads.setdefault(workload.name, workload) != workload:
            raise ValueError(f"{workload.name} was another workload: {workload.title} is not")


def _present(names: list[str] | None) -> Iterator[Peer]:
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        if reason := peer.missing():
            say(f"not measured: {peer.title}: {reason}")
        else:
            yield peer


def _text(measured: Results) -> str:
    about = "\n".join(f"{name:12}{value}" for name, value in measured.machine.items())
    tables = [each.text() for each in report.tables(measured)]
    return "\n\n".join((about, *tables, goals.text(goals.goals(measured))))


def _markdown(measured: Results) -> str:
    about = ", ".join(f"{name} {value}" for name, value in measured.machine.items())
    tables = [each.markdown() for each in report.tables(measured)]
    wishes = goals.markdown(goals.goals(measured))
    return "\n\n".join((f"{about}; {measured.seconds:g} s each.", wishes, *tables))


if __name__ == "__main__":
    sys.exit(main())
