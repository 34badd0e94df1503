"""What NATS between feeder and gateways adds, beside the embedded service, in interleaved rounds.

Server processes share the cores with each other and with the readers, because a stack has at least three: on few
cores the figures say more about the cores than about the stack, and only their ratios are worth anything.
The latency of a quote counts from the time at which the simulator's quote was due.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fanout import building, machine
from benchmarks.fanout.measuring import measure
from benchmarks.fanout.peers import Command, Peer
from benchmarks.fanout.processes import MeasurementError, allow_many_files
from benchmarks.fanout.results import Figures
from benchmarks.fanout.running import say
from benchmarks.fanout.workloads import Workload

_OPTIONS = ("--no-monitor", "--max-connections", "100000", "--subscribe-rate", "1000000")


def _embedded(workload: Workload, _: Path) -> list[str]:
    command = [sys.executable, "-m", "qcfeed", "serve", "--port", "0", *_OPTIONS]
    return [*command, "--upstream", f"sim:?rate={workload.rate_text}"]


def _stack(gateways: int) -> Command:
    def command(workload: Workload, _: Path) -> list[str]:
        name = "benchmarks.scaleout.stack"
        return [sys.executable, "-m", name, str(gateways), workload.rate_text, *_OPTIONS]

    return command


PEERS = (
    Peer("embedded", "embedded", _embedded),
    Peer("gateway", "NATS, 1 gateway", _stack(1)),
    Peer("gateways", "NATS, 2 gateways", _stack(2)),
)


def workloads(rates: Sequence[float], readers: int) -> list[Workload]:
    return [
        Workload(
            f"rate{rate:g}",
            "rate",
            f"{rate:g} quotes/s x {readers:,}",
            rate=rate,
            readers=readers,
            any_core=True,
        )
        for rate in rates
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaleout", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    parser.add_argument("--readers", type=int, default=1_000)
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0, 500.0, 1_000.0])
    arguments = parser.parse_args()
    if building.compiler() is None:
        say("the readers are a C program, and there is no C compiler")
        return 1
    allow_many_files()
    for name, value in machine.describe().items():
        print(f"{name}: {value}")
    with tempfile.TemporaryDirectory(prefix="qcfeed-bench-") as directory:
        program = building.build("readers", Path(directory))
        for workload in workloads(arguments.rates, arguments.readers):
            _report(workload, _rounds(workload, program, arguments.rounds, arguments.seconds))
    return 0


def _rounds(
    workload: Workload, program: Path, rounds: int, seconds: float
) -> dict[str, list[Figures]]:
    measured: dict[str, list[Figures]] = {peer.name: [] for peer in PEERS}
    for _ in range(rounds):
        for peer in PEERS:
            try:
                measured[peer.name].append(measure(peer, workload, program, seconds))
            except MeasurementError as error:
                say(f"  not measured: {peer.title}: {error}")
    return measured


def _report(workload: Workload, measured: dict[str, list[Figures]]) -> None:
    """Medians over the rounds; ratios are medians of each round's ratio to the embedded service."""
    print(f"\n{workload.title}")
    print(
        f"{'':20}{'p50 ms':>10}{'p99 ms':>10}{'added p50':>11}{'ratio':>7}{'delivered':>11}{'cpu':>7}{'gaps':>6}"
    )
    base = measured[PEERS[0].name]
    for peer in PEERS:
        found = measured[peer.name]
        if not found:
            continue
        added = [each["p50_ms"] - one["p50_ms"] for each, one in zip(found, base, strict=False)]
        ratios = [each["p50_ms"] / one["p50_ms"] for each, one in zip(found, base, strict=False)]
        middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
        print(
            f"{peer.title:20}{middle['p50_ms']:10.2f}{middle['p99_ms']:10.2f}"
            f"{_median(added):+11.2f}{_median(ratios):7.2f}{middle['delivered_share']:11.0%}"
            f"{middle['server_cpu']:7.2f}{sum(each['gaps'] for each in found):6.0f}"
        )


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


if __name__ == "__main__":
    sys.exit(main())
