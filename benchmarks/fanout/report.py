"""Medians of the rounds, as tables for a terminal, and the goals held against them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from benchmarks.fanout.measuring import Figures
from benchmarks.fanout.peers import PEERS
from benchmarks.fanout.workloads import Workload

Rounds = dict[str, dict[str, list[Figures]]]
"""Figures of each round, by workload and peer."""

Medians = dict[str, dict[str, Figures]]

READERS_ARE_THE_LIMIT = 0.95
"""Share of their core from which the readers, not the server, may be what is measured."""

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
    "churn": [("a second", "cycles_per_s", ",.0f")],
    "memory": [("KiB each", "kib_each", ".2f")],
    "stopped": [
        ("deliveries/s", "deliveries_per_s", ",.0f"),
        ("others get", "others_share", ".2f"),
        ("MB held each", "held_mb_each", ".2f"),
    ],
}
_LAST: list[_Column] = [("server", "server_cpu", ".0%"), ("readers", "readers_cpu", ".0%")]


def medians(rounds: Rounds) -> Medians:
    """Of each figure over the rounds in which it was measured."""
    return {
        workload: {peer: _median(each) for peer, each in peers.items() if each}
        for workload, peers in rounds.items()
    }


def _median(rounds: list[Figures]) -> Figures:
    names = {name: None for figures in rounds for name in figures}
    return {
        name: statistics.median(figures[name] for figures in rounds if name in figures)
        for name in names
    }


def table(workload: Workload, peers: dict[str, Figures]) -> str:
    """One workload's table, a row a peer; `server` and `readers` are shares of a core."""
    columns = [*_COLUMNS[workload.kind], *_LAST]
    lines = [f"{workload.title:24}" + "".join(f"{title:>{_width(title)}}" for title, *_ in columns)]
    for peer in PEERS:
        if peer.name in peers:
            figures = peers[peer.name]
            cells = "".join(
                f"{_cell(figures, name, form):>{_width(title)}}" for title, name, form in columns
            )
            lines.append(f"  {peer.title:22}{cells}{_remark(figures)}")
    return "\n".join(lines)


def _width(title: str) -> int:
    return max(len(title), 7) + 2


def _cell(figures: Figures, name: str, form: str) -> str:
    return format(figures[name], form) if name in figures else "-"


def _remark(figures: Figures) -> str:
    remarks = [
        f"{figures[name]:,.0f} {name}"
        for name in ("gaps", "conflated", "lost")
        if figures.get(name)
    ]
    if figures["readers_cpu"] > READERS_ARE_THE_LIMIT:
        remarks.append("the readers are the limit")
    return "  " + ", ".join(remarks) if remarks else ""


def goals(figures: Medians) -> Iterable[str]:
    """What was wanted, what came, and whether that is enough; only of what was measured."""
    for text, wanted, came, better_above in _goals(figures):
        met = came >= wanted if better_above else came <= wanted
        sign = ">=" if better_above else "<="
        yield f"{'met   ' if met else 'MISSED'}  {text}: {came:,.2f}, wanted {sign} {wanted:g}"


Goal = tuple[str, float, float, bool]


def _goals(figures: Medians) -> Iterable[Goal]:
    for name in ("1x1000", "1x100", "100x10", "892x18"):
        yield from _saturation_goals(name, figures.get(name, {}))
    yield from _idle_goals(figures.get("rate50", {}))
    for name in ("rate1000", "rate2000"):
        yield from _rate_goals(name, figures.get(name, {}))
    yield from _ratio("churn: x naive", 2.5, figures.get("churn", {}), "cycles_per_s", "naive")
    if ours := figures.get("memory", {}).get("qcfeed"):
        yield "KB an idle subscriber", 3.0, ours["kib_each"] * 1.024, False
    if ours := figures.get("stopped", {}).get("qcfeed"):
        yield "10 stopped: the others' share", 0.95, ours["others_share"], True
        yield "10 stopped: MB held for each", 1.0, ours["held_mb_each"], False


def _saturation_goals(name: str, peers: dict[str, Figures]) -> Iterable[Goal]:
    if "qcfeed" not in peers:
        return
    servers = {
        peer: each["deliveries_per_s"]
        for peer, each in peers.items()
        if peer not in ("qcfeed", "c1", "c16")
    }
    if servers:
        best = max(servers, key=lambda peer: servers[peer])
        yield from _ratio(f"{name}: x the best peer ({best})", 1.0, peers, "deliveries_per_s", best)
    if name == "1x1000":
        yield from _ratio(f"{name}: x naive", 10.0, peers, "deliveries_per_s", "naive")
        yield from _ratio(f"{name}: x C, 16 a write", 0.5, peers, "deliveries_per_s", "c16")


def _idle_goals(peers: dict[str, Figures]) -> Iterable[Goal]:
    yield from _ratio("50/s: p50, x C", 1.2, peers, "p50_ms", "c1", better_above=False)
    yield from _ratio("50/s: CPU, x naive", 0.8, peers, "server_cpu", "naive", better_above=False)


def _rate_goals(name: str, peers: dict[str, Figures]) -> Iterable[Goal]:
    if ours := peers.get("qcfeed"):
        yield f"{name}: share of what is offered", 0.99, ours["delivered_share"], True
    yield from _ratio(
        f"{name}: p99, x nats-server", 0.5, peers, "p99_ms", "nats", better_above=False
    )


def _ratio(
    text: str,
    wanted: float,
    peers: dict[str, Figures],
    figure: str,
    base: str,
    *,
    better_above: bool = True,
) -> Iterable[Goal]:
    ours, other = peers.get("qcfeed", {}).get(figure), peers.get(base, {}).get(figure)
    if ours is not None and other:
        yield text, wanted, ours / other, better_above
