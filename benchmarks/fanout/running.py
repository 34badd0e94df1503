"""The rounds of a run: each has every workload, and each workload measures the peers in turn."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.fanout import building
from benchmarks.fanout.measuring import measure
from benchmarks.fanout.peers import Peer
from benchmarks.fanout.processes import MeasurementError, allow_many_files
from benchmarks.fanout.results import Results
from benchmarks.fanout.workloads import Workload

_SPARE_FILES = 300


def run(
    results: Results,
    peers: Sequence[Peer],
    workloads: Sequence[Workload],
    rounds: int,
    keep: Callable[[], None],
) -> None:
    """Measure what is missing of ``rounds`` rounds; calls ``keep`` after each workload's round."""
    files, began = allow_many_files(), time.monotonic()
    possible = [each for each in workloads if each.readers + _SPARE_FILES <= files]
    for workload in workloads:
        if workload not in possible:
            say(f"not measured: {workload.title}: only {files} files may be open")
    with tempfile.TemporaryDirectory(prefix="qcfeed-bench-") as directory:
        program = building.build("readers", Path(directory))
        for number in range(rounds):
            for workload in possible:
                due = [peer for peer in peers if results.due(peer, workload, number)]
                if not due:
                    continue
                passed = int(time.monotonic() - began)
                names = ", ".join(peer.name for peer in due)
                say(
                    f"{passed // 60:3}:{passed % 60:02}  {number + 1}/{rounds}  {workload.title}: {names}"
                )
                for peer in due:
                    _measure(results, peer, workload, program)
                keep()


def _measure(results: Results, peer: Peer, workload: Workload, program: Path) -> None:
    """Measure one peer; a failure is recorded and does not stop the run."""
    try:
        figures = measure(peer, workload, program, results.seconds)
    except MeasurementError as error:
        results.failed(workload.name, peer.name).append(str(error))
        say(f"  not measured: {peer.title}: {error}")
    else:
        results.of(workload.name, peer.name).append(figures)


def say(line: str) -> None:
    """Print a message to stderr; results go to stdout."""
    print(line, file=sys.stderr, flush=True)
