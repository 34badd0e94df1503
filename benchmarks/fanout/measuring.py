"""One measurement of one peer, workload and round, as flat figures."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fanout.peers import Peer
from benchmarks.fanout.processes import MeasurementError, Readers, Server, reading, serving
from benchmarks.fanout.results import Figures
from benchmarks.fanout.workloads import Workload

CHURNING_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Running:
    """A server with its connected readers, and the duration of the measurement."""

    workload: Workload
    server: Server
    readers: Readers
    seconds: float
    resident_before: int

    def window(self, command: str, seconds: float) -> tuple[dict[str, Any], Figures]:
        """The readers' answer to ``command``, and the figures that every workload has."""
        before, began = self.server.cpu(), time.monotonic()
        answer = self.readers.ask(f"{command} {seconds:g}", seconds)
        used, took = self.server.cpu() - before, time.monotonic() - began
        figures = {
            "server_cpu": used / took,
            "readers_cpu": answer["cpu"] / answer["seconds"],
            "gaps": answer["gaps"],
            "conflated": answer["conflated"],
            "lost": answer["closed"] + answer["faults"],
        }
        return answer, figures


def measure(peer: Peer, workload: Workload, program: Path, seconds: float) -> Figures:
    """Start ``peer`` and readers, warm up, measure, stop them. Raises MeasurementError."""
    try:
        with serving(peer, workload) as server:
            before = server.resident()
            with reading(program, peer, workload, server.port) as readers:
                running = Running(workload, server, readers, seconds, before)
                figures = _KINDS[workload.kind](running)
            server.check()
            return figures
    except (OSError, subprocess.SubprocessError) as error:
        raise MeasurementError(f"the peer cannot be started: {error}") from error


def _saturation(running: Running) -> Figures:
    running.window("measure", min(1.0, running.seconds))
    answer, figures = running.window("measure", running.seconds)
    delivered = answer["delivered"]
    return {
        **figures,
        **{f"{name}_ms": value / 1e3 for name, value in answer.get("latency_us", {}).items()},
        "deliveries_per_s": delivered / answer["seconds"],
        "server_cpu_us": figures["server_cpu"] * answer["seconds"] / max(delivered, 1) * 1e6,
    }


def _rate(running: Running) -> Figures:
    figures = _saturation(running)
    offered = (running.workload.rate or 0.0) * running.workload.readers
    return {**figures, "delivered_share": figures["deliveries_per_s"] / offered}


def _churn(running: Running) -> Figures:
    command = f"churn {CHURNING_AT_ONCE}"
    running.window(command, min(1.0, running.seconds))
    answer, figures = running.window(command, running.seconds)
    return {**figures, "cycles_per_s": answer["cycles"] / answer["seconds"]}


def _memory(running: Running) -> Figures:
    _, figures = running.window("measure", min(1.0, running.seconds))
    grown = running.server.resident() - running.resident_before
    return {**figures, "kib_each": grown / 1024 / running.workload.readers}


def _stopped(running: Running) -> Figures:
    """Deliveries to other readers while some do not read, compared with before and after; and the backlog of
    the stopped ones.

    The backlog is the growth of the process, and the bytes in the kernel's send buffers.
    """
    stopped, stop_for = running.workload.stopped, running.workload.stopped_for
    running.window("measure", min(1.0, running.seconds))
    before, _ = running.window("measure", running.seconds)
    ports = running.readers.ports(stopped)
    resident = running.server.resident()
    running.readers.ask(f"stop {stopped}")
    during, figures = running.window("measure", stop_for)
    held = max(0, running.server.resident() - resident) + running.server.unsent(ports)
    running.readers.ask("stop 0")
    after, last = running.window("measure", running.seconds)
    usual = (_each(before) + _each(after)) / 2
    figures |= {name: figures[name] + last[name] for name in ("gaps", "conflated", "lost")}
    return {
        **figures,
        "deliveries_per_s": during["delivered"] / during["seconds"],
        "others_share": _each(during) / usual if usual else 0.0,
        "held_mb_each": held / stopped / 1e6,
    }


def _each(answer: dict[str, Any]) -> float:
    """Deliveries per second to each active reader."""
    return float(answer["delivered"] / answer["seconds"] / max(answer["reading"], 1))


_KINDS: dict[str, Callable[[Running], Figures]] = {
    "saturation": _saturation,
    "rate": _rate,
    "churn": _churn,
    "memory": _memory,
    "stopped": _stopped,
}
