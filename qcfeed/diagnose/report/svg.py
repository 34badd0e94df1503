"""Plots as inline SVG: a curve over time, and bars. The page's style sheet sets the colours."""

from __future__ import annotations

from html import escape

from qcfeed.diagnose.report.blocks import Bars, Curve

WIDTH, HEIGHT = 720, 190
LEFT, RIGHT, TOP, BOTTOM = 76, 10, 26, 22
ROW_HEIGHT = 24
NAME_WIDTH = 330
"""Where a bar begins; its name stands to the left."""
NAME_CHARACTERS = 52
"""A longer name is cut at its start, because its end has the line number."""
TEXT_WIDTH = 90
"""Space to the right of the longest bar for its value."""


def curve(plot: Curve) -> str:
    """Time on the x axis; values on the y axis, from zero."""
    least, most, first, last = map(escape, plot.labels)
    times = [at for at, _ in plot.points]
    top = max((value for _, value in plot.points), default=0.0) or 1.0
    span = (max(times) - min(times)) or 1.0 if times else 1.0
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    placed = [
        (LEFT + (at - times[0]) / span * wide, TOP + high - value / top * high)
        for at, value in plot.points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    ground = TOP + high
    area = f"{LEFT},{ground} {line} {placed[-1][0]:.1f},{ground}" if placed else ""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(plot.title)}">'
        f'<text class="name" x="{LEFT}" y="14">{escape(plot.title)}</text>'
        f'<line class="axis" x1="{LEFT}" y1="{ground}" x2="{WIDTH - RIGHT}" y2="{ground}"/>'
        f'<line class="axis" x1="{LEFT}" y1="{TOP}" x2="{WIDTH - RIGHT}" y2="{TOP}"/>'
        f'<polygon class="under" points="{area}"/><polyline class="curve" points="{line}"/>'
        f'<text x="{LEFT - 8}" y="{TOP + 4}" text-anchor="end">{most}</text>'
        f'<text x="{LEFT - 8}" y="{ground + 4}" text-anchor="end">{least}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 5}">{first}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{last}</text>'
        "</svg>"
    )


def bars(plot: Bars) -> str:
    """One row per bar; the longest bar takes the whole width."""
    most = max((value for _, value, _ in plot.rows), default=0.0) or 1.0
    room = WIDTH - NAME_WIDTH - TEXT_WIDTH
    rows = []
    for number, (name, value, words) in enumerate(plot.rows):
        y, wide = TOP + number * ROW_HEIGHT, max(1.0, max(0.0, value) / most * room)
        shown = name if len(name) <= NAME_CHARACTERS else "..." + name[-NAME_CHARACTERS + 3 :]
        rows.append(
            f'<text class="name" x="{NAME_WIDTH - 8}" y="{y + 15}" text-anchor="end">{escape(shown)}</text>'
            f'<rect class="bar" x="{NAME_WIDTH}" y="{y + 3}" width="{wide:.1f}" height="{ROW_HEIGHT - 8}"/>'
            f'<text x="{NAME_WIDTH + wide + 6:.1f}" y="{y + 15}">{escape(words)}</text>'
        )
    height = TOP + len(plot.rows) * ROW_HEIGHT + 4
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(plot.title)}">'
        f'<text class="name" x="0" y="14">{escape(plot.title)}</text>{"".join(rows)}</svg>'
    )
