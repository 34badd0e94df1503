"""Results so far, in a file, so that a run can be continued.

A peer without a goal that delivers less than half of a rate in its first round is not measured again at
that rate or at a higher one: the exact figure means nothing. A peer that fails a measurement twice is
not tried a third time.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.fanout.peers import Peer
from benchmarks.fanout.workloads import Workload

Figures = dict[str, float]
"""The figures of one measurement, or the medians of several."""

SCHEMA = "qcfeed.bench.fanout/2"
HOPELESS = 0.5
_MOST_FAILURES = 2


class Results(msgspec.Struct):
    """Figures of each round, and failures, by workload and peer."""

    schema: str
    machine: dict[str, str]
    seconds: float
    workloads: dict[str, Workload]
    rounds: dict[str, dict[str, list[Figures]]] = {}
    failures: dict[str, dict[str, list[str]]] = {}

    def of(self, workload: str, peer: str) -> list[Figures]:
        """The rounds of a peer so far; callers may append."""
        return self.rounds.setdefault(workload, {}).setdefault(peer, [])

    def failed(self, workload: str, peer: str) -> list[str]:
        """The reasons of failed measurements; callers may append."""
        return self.failures.setdefault(workload, {}).setdefault(peer, [])

    def medians(self, workload: str) -> dict[str, Figures]:
        """The median of each figure over the rounds that have it, by peer."""
        return {
            peer: _median(rounds)
            for peer, rounds in self.rounds.get(workload, {}).items()
            if rounds
        }

    def total(self, workload: str, peer: str, figure: str) -> float:
        """The sum of a count over all rounds."""
        return sum(each.get(figure, 0.0) for each in self.of(workload, peer))

    def due(self, peer: Peer, workload: Workload, number: int) -> bool:
        """Whether ``peer`` must be measured in this round (counted from 0)."""
        had = self.of(workload.name, peer.name)
        if not peer.takes_part(workload) or len(had) > number:
            return False
        if had and workload.compared and peer.name not in workload.compared:
            return False
        if len(self.failed(workload.name, peer.name)) >= _MOST_FAILURES:
            return False
        return self.behind(peer, workload) is None

    def behind(self, peer: Peer, workload: Workload) -> float | None:
        """The lowest rate up to that of ``workload`` that the peer cannot hold; None if it holds all."""
        if workload.kind != "rate" or peer.name in workload.compared:
            return None
        return min(
            (
                each.rate or 0.0
                for each in self.workloads.values()
                if each.kind == "rate" and (each.rate or 0.0) <= (workload.rate or 0.0)
                for first in self.of(each.name, peer.name)[:1]
                if first["delivered_share"] < HOPELESS
            ),
            default=None,
        )

    def save(self, file: Path) -> None:
        """Write the file atomically."""
        written = file.with_name(f"{file.name}.part")
        written.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        written.replace(file)


def load(file: Path) -> Results:
    """Read what ``save`` wrote. Raises OSError, and ValueError for any other content."""
    results = msgspec.json.decode(file.read_bytes(), type=Results)
    if results.schema != SCHEMA:
        raise ValueError(f"{file} is of {results.schema}, this is {SCHEMA}")
    return results


def _median(rounds: Iterable[Figures]) -> Figures:
    names = {name: None for figures in rounds for name in figures}
    return {
        name: statistics.median(figures[name] for figures in rounds if name in figures)
        for name in names
    }
