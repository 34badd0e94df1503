"""The plot of the README: deliveries a second, and how late a quote is, side by side."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from benchmarks.fanout.peers import PEERS
from benchmarks.fanout.report import Medians

_OURS, _OTHERS, _LIMIT = "#1f6feb", "#9aa4af", "#d5dbe1"
_HELD = 0.99


def missing() -> str | None:
    """Why there can be no plot; None when there can."""
    if importlib.util.find_spec("matplotlib") is None:
        return "no matplotlib here: pip install '.[bench]'"
    return None


def draw(figures: Medians, file: Path) -> None:
    """Write ``file``, in the format of its suffix."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"font.size": 9, "svg.hashsalt": "qcfeed", "svg.fonttype": "none"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    _bars(
        left,
        figures.get("1x1000", {}),
        "deliveries_per_s",
        "1 symbol x 1,000 readers: deliveries/s",
    )
    held = {
        peer: each
        for peer, each in figures.get("rate1000", {}).items()
        if each["delivered_share"] >= _HELD
    }
    _bars(right, held, "p99_ms", "1,000 quotes/s x 1,000: p99 in ms, of who holds it")
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _bars(axes, peers, figure: str, title: str) -> None:  # type: ignore[no-untyped-def]
    shown = [peer for peer in PEERS if figure in peers.get(peer.name, {})][::-1]
    values = [peers[peer.name][figure] for peer in shown]
    colours = [
        _OURS if peer.name == "qcfeed" else _LIMIT if peer.name in ("c1", "c16") else _OTHERS
        for peer in shown
    ]
    bars = axes.barh([peer.title.replace("`", "") for peer in shown], values, color=colours)
    axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3)
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.xaxis.set_visible(False)
    axes.margins(x=0.18)
