"""The goals, held against what was measured; one that nothing was measured of is not named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.fanout.results import Figures, Results

_LIMITS = ("c1", "c16")
_SATURATIONS = ("1x1000", "1x100", "100x10", "892x18")
_RATES = ("rate50", "rate500", "rate1000", "rate2000")


@dataclass(frozen=True, slots=True)
class Goal:
    """``wanted`` is None where it is only measured."""

    what: str
    wanted: float | None
    came: float
    at_least: bool = True

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or nothing."""
        if self.wanted is None:
            return ""
        met = self.came >= self.wanted if self.at_least else self.came <= self.wanted
        return "met" if met else "MISSED"

    @property
    def wish(self) -> str:
        if self.wanted is None:
            return "-"
        return f"{'>=' if self.at_least else '<='} {self.wanted:g}"


def text(goals: Iterable[Goal]) -> str:
    """One line per goal."""
    return "\n".join(
        f"{each.verdict:7} {each.what}: {each.came:,.2f}, wanted {each.wish}" for each in goals
    )


def markdown(goals: Iterable[Goal]) -> str:
    """A Markdown table of the goals."""
    rows = [f"| {g.what} | {g.wish} | {g.came:,.2f} | {g.verdict} |" for g in goals]
    return "\n".join(("| | goal | measured | |", "|---|---|---:|---|", *rows))


def goals(results: Results) -> Iterator[Goal]:
    """The goals for which there are results."""
    for name in _SATURATIONS:
        yield from _saturation(name, results.medians(name))
    yield from _idle(results.medians("rate50"))
    for name in ("rate1000", "rate2000"):
        yield from _rate(name, results.medians(name))
    yield from _ratio("churn: x naive", 2.5, results.medians("churn"), "cycles_per_s", "naive")
    if ours := results.medians("memory").get("qcfeed"):
        yield Goal("KB per idle subscriber", 3.0, ours["kib_each"] * 1.024, at_least=False)
    if ours := results.medians("stopped").get("qcfeed"):
        yield Goal("10 stopped: deliveries to the others", 0.95, ours["others_share"])
        yield Goal("10 stopped: MB kept for each", 1.0, ours["held_mb_each"], at_least=False)
    yield from _tls(results)
    yield from _gaps(results)
    for name, figure in (("churn", "cycles_per_s"), ("100x10", "deliveries_per_s")):
        yield from _ratio(
            f"2 processes behind one port, {name}: x one process",
            None, results.medians(f"shared-{name}"), figure, "one", ours="two",
        )  # fmt: skip


def _saturation(name: str, peers: dict[str, Figures]) -> Iterator[Goal]:
    servers = {
        peer: each["deliveries_per_s"]
        for peer, each in peers.items()
        if peer not in ("qcfeed", *_LIMITS)
    }
    if servers:
        best = max(servers, key=lambda peer: servers[peer])
        yield from _ratio(f"{name}: x the best peer ({best})", 1.0, peers, "deliveries_per_s", best)
    if name == "1x1000":
        yield from _ratio(f"{name}: x naive", 10.0, peers, "deliveries_per_s", "naive")
        yield from _ratio(f"{name}: x C, 16 per write", 0.5, peers, "deliveries_per_s", "c16")


def _idle(peers: dict[str, Figures]) -> Iterator[Goal]:
    yield from _ratio("50/s: p50, x C", 1.2, peers, "p50_ms", "c1", at_least=False)
    yield from _ratio("50/s: CPU, x naive", 0.8, peers, "server_cpu", "naive", at_least=False)


def _rate(name: str, peers: dict[str, Figures]) -> Iterator[Goal]:
    rate = f"{int(name.removeprefix('rate')):,}/s"
    if ours := peers.get("qcfeed"):
        yield Goal(f"{rate}: share that is delivered", 0.99, ours["delivered_share"])
    yield from _ratio(f"{rate}: p99, x nats-server", 0.5, peers, "p99_ms", "nats", at_least=False)


def _tls(results: Results) -> Iterator[Goal]:
    yield from _ratio(
        "1x1000 with TLS: x nats-server with TLS",
        2.0, results.medians("tls-1x1000"), "deliveries_per_s", "nats-tls", ours="qcfeed-tls",
    )  # fmt: skip
    if ours := results.medians("tls-memory").get("qcfeed-tls"):
        yield Goal(
            "KB per idle subscriber with TLS", 12.0, ours["kib_each"] * 1.024, at_least=False
        )


def _gaps(results: Results) -> Iterator[Goal]:
    had = [name for name in (*_SATURATIONS, *_RATES) if results.of(name, "qcfeed")]
    if had:
        total = sum(results.total(name, "qcfeed", "gaps") for name in had)
        yield Goal("gaps in seq, all rounds at saturation and at a rate", 0, total, at_least=False)


def _ratio(
    what: str,
    wanted: float | None,
    peers: dict[str, Figures],
    figure: str,
    base: str,
    *,
    ours: str = "qcfeed",
    at_least: bool = True,
) -> Iterator[Goal]:
    mine, other = peers.get(ours, {}).get(figure), peers.get(base, {}).get(figure)
    if mine is not None and other:
        yield Goal(what, wanted, mine / other, at_least)
