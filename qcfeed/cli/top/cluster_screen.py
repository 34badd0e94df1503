"""``qcfeed --cluster top``: the full-screen view of all instances. All requests run in the thread of worker.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from qcfeed.cli.cluster_figures import figures
from qcfeed.cli.top.application import BODY_HEIGHT, FullScreen, JobResult
from qcfeed.cli.top.cluster_header import header
from qcfeed.cli.top.cluster_observer import ClusterObserver, ClusterSnapshot, InstanceRow
from qcfeed.cli.top.cluster_views import VIEWS
from qcfeed.cli.top.header import Space
from qcfeed.cli.top.observer import Away
from qcfeed.cli.top.panes import Pane
from qcfeed.cli.top.theme import DARK, Theme
from qcfeed.cli.top.views import (
    Arrangement,
    arranged,
    next_order,
    truncate,
)
from qcfeed.cli.ui.sparkline import BLOCKS

KEYS: Mapping[str, tuple[str, str]] = {
    "1": ("list(0)", "instances"),
    "2": ("list(1)", "orphans"),
    "3": ("list(2)", "findings"),
    "tab": ("step(1)", "next list"),
    "shift+tab": ("step(-1)", "previous list"),
    "s": ("sort", "sort by the next column"),
    "S": ("reverse", "reverse the order"),
    "space": ("pause", "pause, resume"),
    "question_mark": ("help", "show the keys"),
    "q": ("quit", "quit"),
    "ctrl+c": ("quit", "quit"),
}
HELP = (
    "1, 2, 3  instances, orphans, findings; also Tab",
    "Up, Down move; also j, k, PgUp, PgDn",
    "Enter    show the row in full, and what to type next",
    "s, S     sort by the next column; reverse",
    "Space    pause, resume",
    "q        quit",
    "",
    "It changes nothing: `qcfeed --cluster orphans --reap` ends orphans,",
    "`qcfeed --instance NAME top` looks into one instance.",
)
FOOTER = "Enter open  s sort  Space pause  ? help  q quit"


class ClusterTop(FullScreen):
    """The full-screen view of a cluster. ``every``: seconds between two refreshes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, action, about, priority=key in ("tab", "shift+tab", "ctrl+c"))
        for key, (action, about) in KEYS.items()
    ]

    def __init__(
        self, observer: ClusterObserver, *, every: float, blocks: str = BLOCKS, theme: Theme = DARK
    ) -> None:
        super().__init__(
            observer.refresh, every=every, cancel=lambda: None, blocks=blocks, theme=theme
        )
        self._view = 0
        self._arrangements = [Arrangement() for _ in VIEWS]
        self._snapshot: ClusterSnapshot | None = None
        self._away: Away | None = None
        self._answered_at = time.monotonic()
        self._paused = False

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="tabs", markup=False)
        yield self._list
        yield Static(id="empty", markup=False)
        yield Static(id="about", markup=False)
        yield Static(id="keys", markup=False)

    def on_job_result(self, result: JobResult) -> None:
        match result.value:
            case Exception() as fault:
                self.fault = fault
                self.exit()
            case _ if not self._list.is_attached:
                return  # the application is shutting down and its widgets are gone
            case Away() as away:
                self._away = away
                self.draw()
            case ClusterSnapshot() as snapshot:
                self._away, self._answered_at = None, time.monotonic()
                if not self._paused:
                    self._snapshot = snapshot
                self.draw()

    # ------------------------------------------------------------ keys

    def action_list(self, number: int) -> None:
        self._view, self._paused = number, False
        self.draw(to_top=True)

    def action_step(self, by: int) -> None:
        self.action_list((self._view + by) % len(VIEWS))

    def action_sort(self) -> None:
        self._arrangements[self._view] = next_order(VIEWS[self._view], self._arrangement)
        self.draw(to_top=True)

    def action_reverse(self) -> None:
        descending = not self._arrangement.descending
        self._arrangements[self._view] = self._arrangement._replace(descending=descending)
        self.draw(to_top=True)

    def action_pause(self) -> None:
        self._paused = not self._paused
        self.draw()

    def action_help(self) -> None:
        self.push_screen(Pane("keys", HELP))

    def on_data_table_row_selected(self) -> None:
        rows, place = self._rows(), self._list.cursor_row
        if 0 <= place < len(rows):
            self.push_screen(Pane("row", list(_in_full(rows[place], self._view))))

    # ------------------------------------------------------------ drawing

    @property
    def _arrangement(self) -> Arrangement:
        return self._arrangements[self._view]

    def _rows(self) -> list[Any]:
        if self._snapshot is None:
            return []
        lists = (self._snapshot.rows, self._snapshot.orphans, self._snapshot.findings)
        return arranged(VIEWS[self._view], lists[self._view], self._arrangement)

    def draw(self, *, to_top: bool = False) -> None:
        width, height = self.size
        space = Space(width, max(2, height - BODY_HEIGHT))
        away_s = time.monotonic() - self._answered_at
        lines = header(self._snapshot, self._away, away_s, space)
        rows = self._rows()
        self.query_one("#head", Static).update(self._head(lines))
        self.query_one("#tabs", Static).update(self._tabs())
        self.query_one("#about", Static).update(self._about(len(rows)))
        self.query_one("#keys", Static).update(truncate(FOOTER, width, self._ellipsis))
        self._list.show(VIEWS[self._view], rows, to_top=to_top)
        empty = self.query_one("#empty", Static)
        empty.display = not rows
        empty.update("loading ..." if self._snapshot is None else VIEWS[self._view].empty)

    def _tabs(self) -> str:
        titles = (f"{number} {view.title}" for number, view in enumerate(VIEWS, 1))
        return " ".join(
            f"[{title}]" if number == self._view else f" {title} "
            for number, title in enumerate(titles)
        )

    def _about(self, shown: int) -> str:
        parts = [f"{shown:,} rows" if shown != 1 else "1 row"]
        if self._arrangement.order is not None:
            parts.append(f"by {self._arrangement.order}")
        if self._paused:
            parts.append("PAUSED: Space resumes")
        return "; ".join(parts)


def _in_full(row: Any, view: int) -> list[str]:
    """All that is known of a row."""
    if not isinstance(row, InstanceRow):
        lines = [f"{c.title:<10} {c.text(row)}" for c in VIEWS[view].table.columns]
        return [*lines, "", "next: `qcfeed --cluster orphans --reap`"] if view == 1 else lines
    if row.status is None:
        return [f"{row.member} does not answer: is its process stopped or stuck?"]
    lines = [f"{row.member}, pid {row.status.pid}, qcfeed {row.status.version}"]
    if row.status.cluster is not None:
        lines += [f"{each.label:<10} {each.text}" for each in figures(row.status.cluster)]
    name = row.member.partition("@")[0]
    return [*lines, "", f"next: `qcfeed --instance {name} top` on its machine"]
