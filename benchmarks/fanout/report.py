"""Medians of the rounds as tables: for a terminal, and as Markdown for docs/explanation/performance.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.fanout.peers import PEERS, Peer
from benchmarks.fanout.results import Figures, Results
from benchmarks.fanout.workloads import Workload

READERS_ARE_THE_LIMIT = 0.95
"""Share of their core from which the readers may be the limit instead of the server."""

# Column title, figure, format; each kind of workload has its own.
_Column = tuple[str, str, str]
_COLUMNS: dict[str, list[_Column]] = {
    "saturation": [
        ("deliveries/s", "deliveries_per_s", ",.0f"),
        ("server us each", "server_cpu_us", ".2f"),
    ],
    "rate": [
        ("delivered", "delivered_share", ".1%"),
        ("p50 ms", "p50_ms", ",.2f"),
        ("p99 ms", "p99_ms", ",.1f"),
        ("p99.9 ms", "p99.9_ms", ",.1f"),
    ],
    "churn": [("cycles/s", "cycles_per_s", ",.0f")],
    "memory": [("KiB each", "kib_each", ".2f")],
    "stopped": [
        ("deliveries/s", "deliveries_per_s", ",.0f"),
        ("others get", "others_share", ".2f"),
        ("MB held each", "held_mb_each", ".2f"),
    ],
}
_LAST: list[_Column] = [("server", "server_cpu", ".0%"), ("readers", "readers_cpu", ".0%")]
_ROUNDS = "rounds"


@dataclass(frozen=True, slots=True)
class Table:
    """One workload's medians, one row per peer; ``server`` and ``readers`` are shares of a core."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[str], str]]
    """A peer's title, its cells, and remarks."""

    def text(self) -> str:
        widths = [max(len(each), 5) + 2 for each in self.columns]
        head = "".join(f"{each:>{width}}" for each, width in zip(self.columns, widths, strict=True))
        lines = [f"{self.title:26}{head}"]
        for title, cells, remark in self.rows:
            padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
            lines.append(f"  {title:24}{''.join(padded)}  {remark}".rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        lines = [
            f"| {' | '.join((self.title, *self.columns, ''))} |",
            f"|---|{'---:|' * len(self.columns)}---|",
        ]
        lines += [
            f"| {' | '.join((title, *cells, remark))} |" for title, cells, remark in self.rows
        ]
        return "\n".join(lines)


def tables(results: Results) -> Iterator[Table]:
    """One table per workload with results."""
    for workload in results.workloads.values():
        known = (results.rounds, results.failures)
        if any(peers for of in known for peers in of.get(workload.name, {}).values()):
            rows = list(_rows(results, workload))
            yield Table(
                workload.title, [*(title for title, *_ in _columns(workload)), _ROUNDS], rows
            )


def _columns(workload: Workload) -> list[_Column]:
    return [*_COLUMNS[workload.kind], *_LAST]


def _rows(results: Results, workload: Workload) -> Iterator[tuple[str, list[str], str]]:
    medians = results.medians(workload.name)
    for peer in PEERS:
        figures, rounds = medians.get(peer.name), len(results.of(workload.name, peer.name))
        remark = _remark(results, peer, workload, figures)
        if figures is not None:
            cells = [_cell(figures, name, form) for _, name, form in _columns(workload)]
            yield peer.title, [*cells, str(rounds)], remark
        elif remark:
            yield peer.title, ["-"] * (len(_columns(workload)) + 1), remark


def _cell(figures: Figures, name: str, form: str) -> str:
    return format(figures[name], form) if name in figures else "-"


def _remark(results: Results, peer: Peer, workload: Workload, figures: Figures | None) -> str:
    remarks = []
    if (rate := results.behind(peer, workload)) is not None:
        remarks.append(f"behind at {rate:,.0f}/s")
    remarks += [
        f"{total:,.0f} {name}"
        for name in ("gaps", "conflated", "lost")
        if (total := results.total(workload.name, peer.name, name))
    ]
    if figures and figures["readers_cpu"] > READERS_ARE_THE_LIMIT:
        remarks.append("the readers are the limit")
    if failures := results.failed(workload.name, peer.name):
        remarks.append(f"failed {len(failures)} x: {failures[-1].splitlines()[0][:80]}")
    return ", ".join(remarks)
