"""The README's plot: four figures of every peer, side by side.

The background follows the reader's light or dark scheme. qcfeed's bars differ by a colour that
colour-blind readers can tell from grey, and by a bold name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fanout.peers import PEERS, Peer
from benchmarks.fanout.results import Results

_OURS, _OTHERS, _LIMIT = "#e69f00", "#8b949e", "#ffffff00"
_LIGHT, _DARK = ("#ffffff", "#24292f"), ("#0d1117", "#e6edf3")
"""Background and ink."""
_LIMITS = ("c1", "c16")
_HELD = 0.99


@dataclass(frozen=True, slots=True)
class _Panel:
    workload: str
    figure: str
    title: str
    form: str = ",.0f"
    log: bool = False


@dataclass(frozen=True, slots=True)
class _Bar:
    peer: Peer
    length: float
    label: str


_PANELS = (
    _Panel("1x1000", "deliveries_per_s", "1 symbol, 1,000 readers: deliveries/s (log scale)", log=True),
    _Panel("rate1000", "p99_ms", "1,000 quotes/s to 1,000 readers: p99, ms", ",.1f"),
    _Panel("churn", "cycles_per_s", "Connect, get a quote, disconnect: cycles/s"),
    _Panel("memory", "kib_each", "Memory per idle subscriber, KiB", ",.2f"),
)  # fmt: skip


def missing() -> str | None:
    """The reason why no plot can be drawn; None if it can."""
    if importlib.util.find_spec("matplotlib") is None:
        return "matplotlib is not installed: pip install '.[bench]'"
    return None


def draw(results: Results, file: Path) -> None:
    """Write ``file`` in the format of its suffix. Equal figures give equal bytes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context(
        {
            "font.size": 9,
            "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
            "text.color": _LIGHT[1],
            "ytick.labelcolor": _LIGHT[1],
            "svg.hashsalt": "qcfeed",
            "svg.fonttype": "none",
            "svg.id": "fanout",
        }
    ):
        panels = [(each, bars) for each in _PANELS if (bars := list(_bars(each, results)))]
        rows = max(1, -(-len(panels) // 2))
        figure, axes = plt.subplots(
            rows, 2, figsize=(9.2, 0.4 + 2.6 * rows), layout="constrained", squeeze=False
        )
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # type: ignore[union-attr,call-arg]
        for at in axes.flat[len(panels) :]:
            at.set_visible(False)
        for (panel, bars), at in zip(panels, axes.flat, strict=False):
            _paint(at, panel, bars)
        figure.supxlabel(_caption(results), fontsize=7.5)
        figure.patch.set_gid("ground")
        metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, metadata=metadata, facecolor=_LIGHT[0])
        plt.close(figure)
    if file.suffix == ".svg":
        file.write_text(_with_scheme(file.read_text()))


def _bars(panel: _Panel, results: Results) -> Iterator[_Bar]:
    """One bar per peer with results, also if it cannot hold the rate."""
    workload = results.workloads.get(panel.workload)
    if workload is None:
        return
    medians = results.medians(panel.workload)
    for peer in PEERS:
        figures = medians.get(peer.name, {})
        if (rate := results.behind(peer, workload)) is not None:
            yield _Bar(peer, 0.0, f"cannot: is behind at {rate:,.0f}/s")
        elif figures.get("delivered_share", 1.0) < _HELD:
            yield _Bar(peer, 0.0, f"cannot: {figures['delivered_share']:.1%} arrive")
        elif panel.figure in figures:
            value = figures[panel.figure]
            yield _Bar(peer, value, format(value, panel.form))


def _paint(axes: Any, panel: _Panel, bars: list[_Bar]) -> None:
    bars = bars[::-1]  # matplotlib draws the first bar at the bottom
    if panel.log:
        axes.set_xscale("log")
    names = [each.peer.title.replace("`", "") for each in bars]
    painted = axes.barh(names, [each.length for each in bars])
    axes.bar_label(painted, [each.label for each in bars], padding=3)
    texts = zip(axes.texts, axes.get_yticklabels(), strict=True)
    for each, patch, labels in zip(bars, painted, texts, strict=True):
        _dress(patch, each.peer)
        for label in labels:
            label.set_fontweight("bold" if each.peer.name == "qcfeed" else "normal")
    axes.set_title(panel.title, fontsize=9, loc="left")
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.patch.set_visible(False)
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.22, y=0.02)
    if panel.log:
        lengths = [each.length for each in bars]
        axes.set_xlim(min(lengths) / 4, max(lengths) * 6)


def _dress(bar: Any, peer: Peer) -> None:
    if peer.name in _LIMITS:
        bar.set(facecolor="none", edgecolor=_OTHERS, linewidth=1)
    else:
        bar.set_facecolor(_OURS if peer.name == "qcfeed" else _OTHERS)


def _caption(results: Results) -> str:
    about = results.machine
    rounds = max((len(each) for of in results.rounds.values() for each in of.values()), default=0)
    return (
        f"Server on one core, readers on another: {about['processor']}, Linux {about['kernel']},"
        f" {about['python']}. Medians of {rounds} round{'' if rounds == 1 else 's'}, {results.seconds:g} s each.\n"
        "Hollow: the limit, a C program that only writes. Reproduce: python -m benchmarks.fanout"
    )


def _with_scheme(svg: str) -> str:
    ground, ink = _DARK
    style = (
        "<style>@media (prefers-color-scheme: dark){"
        f"#ground path{{fill:{ground}!important}}text{{fill:{ink}!important}}}}</style>"
    )
    return svg.replace("<defs>", f"{style}\n <defs>", 1)
