"""The workloads: numbers of symbols and readers, what the readers do, and which peers take part."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from qcfeed.upstreams.universe import TICKERS

_IDLE = 0.001
"""Quotes per second for idle readers: one at the start, then one every 15 minutes."""
_TLS = ("qcfeed-tls", "naive-tls", "nats-tls")


@dataclass(frozen=True, slots=True)
class Workload:
    """``rate``: quotes per second per symbol; None: as many as can be delivered."""

    name: str
    kind: str
    title: str
    rate: float | None
    symbols: tuple[str, ...] = ("AAPL",)
    readers: int = 0
    stopped: int = 0
    stopped_for: float = 0.0
    peers: tuple[str, ...] = ()
    """Names of the peers that take part; empty for every peer that can."""
    compared: tuple[str, ...] = ()
    """Peers that a goal compares; they are measured in every round, the others once. Empty for all."""
    any_core: bool = False
    """Whether servers and readers run on all cores instead of one each."""

    @property
    def rate_text(self) -> str:
        """The rate as upstreams and peers spell it."""
        return "max" if self.rate is None else f"{self.rate:g}"


def workloads(*, stopped_for: float, idle: int = 10_000) -> tuple[Workload, ...]:
    """All workloads. ``stopped_for``: seconds in which ten of a thousand readers do not read."""
    return (
        _saturation(1, 1_000),
        _saturation(1, 100),
        _saturation(100, 10),
        _saturation(892, 18),
        *(_fixed(rate) for rate in (50, 500, 1_000, 2_000)),
        Workload("churn", "churn", "connect, quote, disconnect", rate=1.0),
        Workload(
            "memory", "memory", f"memory at {idle:,} idle",
            rate=_IDLE, readers=idle, compared=("qcfeed",),
        ),
        dataclasses.replace(
            _saturation(1, 1_000, "saturation with TLS, 1 x 1,000"), name="tls-1x1000", peers=_TLS
        ),
        Workload(
            "tls-rate1000", "rate", "1,000 quotes/s x 1,000 with TLS", rate=1_000.0, readers=1_000, peers=_TLS
        ),
        Workload(
            "tls-memory", "memory", f"memory at {idle:,} idle with TLS", rate=_IDLE, readers=idle, peers=_TLS
        ),
        _shared("shared-churn", Workload("", "churn", "churn, one port", rate=1.0)),
        _shared("shared-100x10", _saturation(100, 10, "100 x 10, one port")),
        Workload(
            "stopped", "stopped", f"10 stopped for {stopped_for:g} s",
            rate=None, readers=1_000, stopped=10, stopped_for=stopped_for, compared=("qcfeed",),
        ),
    )  # fmt: skip


def _saturation(symbols: int, readers_each: int, title: str = "") -> Workload:
    return Workload(
        f"{symbols}x{readers_each}",
        "saturation",
        title or f"saturation, {symbols:,} x {readers_each:,}",
        rate=None,
        symbols=tuple(TICKERS[:symbols]) if symbols > 1 else ("AAPL",),
        readers=symbols * readers_each,
    )


def _fixed(rate: int) -> Workload:
    compared = () if rate < 500 else ("qcfeed", "nats", "c16")
    title = f"{rate:,} quotes/s x 1,000"
    return Workload(
        f"rate{rate}", "rate", title, rate=float(rate), readers=1_000, compared=compared
    )


def _shared(name: str, workload: Workload) -> Workload:
    """``workload`` for several of our processes behind one port, beside one: on all cores."""
    return dataclasses.replace(workload, name=name, peers=("one", "two"), any_core=True)
