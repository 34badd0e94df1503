"""What NATS between feeder and gateways adds, beside the embedded service and nats-server's own WebSocket, in
interleaved rounds; deliveries with 1, 2 and 4 gateways; and the quotes per second that a feeder and a gateway sustain.

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
from benchmarks.fanout import peers as fanout
from benchmarks.fanout.measuring import measure
from benchmarks.fanout.peers import Command, Peer
from benchmarks.fanout.processes import MeasurementError, allow_many_files
from benchmarks.fanout.results import Figures
from benchmarks.fanout.running import say
from benchmarks.fanout.workloads import Workload
from benchmarks.scaleout import sustained
from qcfeed.formats import plural

_OPTIONS = ("--no-monitor", "--max-connections", "100000", "--subscribe-rate", "1000000")


def _embedded(workload: Workload, _: Path) -> list[str]:
    command = [sys.executable, "-m", "qcfeed", "serve", "--port", "0", *_OPTIONS]
    return [*command, "--upstream", f"sim:?rate={workload.rate_text}"]


def _stack(gateways: int) -> Command:
    def command(workload: Workload, _: Path) -> list[str]:
        name = "benchmarks.scaleout.stack"
        return [sys.executable, "-m", name, str(gateways), workload.rate_text, *_OPTIONS]

    return command


[NATS_WEBSOCKET] = (each for each in fanout.PEERS if each.name == "nats")
PEERS = (
    Peer("embedded", "embedded", _embedded),
    NATS_WEBSOCKET,
    *(
        Peer(f"gateways-{count}", f"NATS, {plural(count, 'gateway')}", _stack(count))
        for count in (1, 2, 4)
    ),
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
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement")
    parser.add_argument("--readers", type=int, default=1_000)
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0, 1_000.0, 2_000.0])
    parser.add_argument(
        "--symbols", type=int, default=100, help="of the feeder and the gateway alone"
    )
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
        sustained.report(Path(directory), arguments.symbols, arguments.seconds)
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
    """Medians over the rounds; what is added is the median of each round's difference to the embedded service."""
    print(f"\n{workload.title}")
    print(
        f"{'':20}{'p50 ms':>9}{'p99 ms':>9}{'added p50':>11}{'added p99':>11}{'delivered':>11}"
        f"{'per s':>11}{'cpu':>6}{'gaps':>6}"
    )
    base = measured[PEERS[0].name]
    for peer in PEERS:
        found = measured[peer.name]
        if not found:
            continue
        pairs = list(zip(found, base, strict=False))
        added = [
            _median([each[of] - one[of] for each, one in pairs]) for of in ("p50_ms", "p99_ms")
        ]
        middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
        print(
            f"{peer.title:20}{middle['p50_ms']:9.2f}{middle['p99_ms']:9.2f}"
            f"{added[0]:+11.2f}{added[1]:+11.2f}{middle['delivered_share']:11.0%}"
            f"{middle['deliveries_per_s']:11,.0f}{middle['server_cpu']:6.2f}{sum(each['gaps'] for each in found):6.0f}"
        )


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


if __name__ == "__main__":
    sys.exit(main())
