"""``qcfeed top``: the full-screen view. It never blocks: all requests run in the thread of worker.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from qcfeed.cli.top import details, keys
from qcfeed.cli.top.actions import ActionResult, ProposedAction, ScreenActions
from qcfeed.cli.top.application import BODY_HEIGHT, FullScreen, JobResult
from qcfeed.cli.top.details import Details
from qcfeed.cli.top.header import Space, header
from qcfeed.cli.top.observer import Away, Observer, ServiceSnapshot, error_lines
from qcfeed.cli.top.panes import Pane, Question
from qcfeed.cli.top.state import State
from qcfeed.cli.top.theme import DARK, Theme
from qcfeed.cli.top.views import views
from qcfeed.cli.ui.sparkline import BLOCKS
from qcfeed.errors import QcfeedError
from qcfeed.observe.recent import LocationTrend

PANE_MARGIN = 6
"""The width of a pane's frame, in cells."""
FROZEN_S = 86_400.0
"""Seconds between two refreshes of a file, which does not change."""
NOTE_SECONDS = 4.0
"""How long the response to a key is shown."""


class Top(FullScreen):
    """The full-screen view. ``every``: seconds between two refreshes; a file needs none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(name, action, key.about, priority=name in keys.EVERYWHERE)
        for key in keys.KEYS
        for name, action in key.does.items()
    ]

    def __init__(
        self, observer: Observer, *, every: float, blocks: str = BLOCKS, theme: Theme = DARK
    ) -> None:
        super().__init__(
            lambda: observer.refresh(self.state.target),
            every=every if observer.file is None else FROZEN_S,
            cancel=observer.close,
            blocks=blocks,
            theme=theme,
        )
        self.state = State(views(blocks), answered_at=time.monotonic())
        self._observer = observer
        self._blocks = blocks
        self._busy = False
        self._note, self._noted_at = "", 0.0

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="tabs", markup=False)
        yield self._list
        yield Static(id="empty", markup=False)
        field = Input(id="filter", placeholder="words", compact=True)
        field.display = False
        yield field
        yield Static(id="about", markup=False)
        yield Static(id="keys", markup=False)

    # ------------------------------------------------------------ results of the job thread

    def _run_job(
        self, job: Callable[[], object], note: str = "waiting for the service ..."
    ) -> None:
        """Run a job in the job thread, unless one is running: pressing a key twice runs it once."""
        if not self._busy:
            self._busy = True
            self._show_note(note)
            self._jobs.do(job)

    @on(JobResult)
    def take_result(self, result: JobResult) -> None:
        match result.value:
            case Exception() as fault if not isinstance(fault, QcfeedError):
                self.fault = fault
                self.exit()
            case _ if not self._list.is_attached:
                return  # the application is shutting down and its widgets are gone
            case ServiceSnapshot() | Away() as update:
                self.state.take(update, time.monotonic())
                self.draw()
            case answer:
                self._busy = False
                self._show_note("")
                self._show_answer(answer)

    def _show_answer(self, answer: object) -> None:
        match answer:
            case ProposedAction() as plan:
                self._propose(plan)
            case ActionResult(title, lines, alarming):
                self.push_screen(Pane(title, lines, alarming=alarming))
                self._jobs.refresh()
            case Details() as found:
                self._show(found)
            case QcfeedError() as error:
                self.push_screen(Pane("error", list(error_lines(error)), alarming=True))

    def _propose(self, plan: ProposedAction) -> None:
        act = plan.act
        if act is None:
            self.push_screen(Pane("plan", [plan.question]))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._run_job(act, "working ... (at most --timeout seconds)")
            else:
                self._show_note("nothing was done")

        self.push_screen(Question(plan.question, plan.lines), answered)

    def _show(self, found: Details) -> None:
        def closed(key: str | None) -> None:
            if key == "c" and found.serial is not None:
                self._run_job(partial(self._actions().cancel, serials=[found.serial]))
            elif key == "b":
                self._show(details.page(found.rule))
            elif key == "r":
                self.action_reap()

        more: dict[str, str] = {}
        if self._observer.file is not None:
            more = {"b": "runbook"} if found.rule is not None else {}
        elif found.serial is not None:
            more = {"c": "cancel"}
        elif found.rule is not None:
            more = {"b": "runbook", "r": "reap"}
        pane = Pane(found.title, found.lines, markdown=found.markdown, more=more)
        self.push_screen(pane, closed)

    # ------------------------------------------------------------ keys

    def action_list(self, name: str) -> None:
        self._go(lambda: self.state.go(name))

    def action_step(self, by: int) -> None:
        self._go(lambda: self.state.step(by))

    def action_undo(self) -> None:
        if self.query_one("#filter").display:
            self._close_filter("")
        else:
            self._go(self.state.back)

    def _go(self, move: Callable[[], object]) -> None:
        """Switch to another list: draw it at once, and request its rows."""
        if len(self.screen_stack) > 1:
            return
        move()
        self._note = ""  # what was said is about the list before
        self._hide_filter()
        self.draw(to_top=True)
        self._jobs.refresh()

    def action_sort(self) -> None:
        self.state.sort()
        self.draw(to_top=True)

    def action_reverse(self) -> None:
        self.state.reverse()
        self.draw(to_top=True)

    def action_pause(self) -> None:
        self.state.paused = not self.state.paused
        self.draw()

    def action_help(self) -> None:
        self.push_screen(Pane("keys", [*keys.help_lines(), "", *keys.ACTIONS_NOTE]))

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = self.state.arrangement.words
        field.display = True
        field.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        if self.query_one("#filter").display:
            self.state.filter(changed.value)
            self.draw(to_top=True)

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        self._close_filter(submitted.value)

    def _close_filter(self, words: str) -> None:
        self._hide_filter()
        self.state.filter(words)
        self.draw(to_top=True)

    def _hide_filter(self) -> None:
        self.query_one("#filter").display = False
        self._list.focus()

    def on_data_table_row_selected(self) -> None:
        match self._row():
            case None:
                return
            case LocationTrend(location=site):
                self._go(lambda: self.state.go("location", site))
            case row:
                table, width = self.state.current.table, self.size.width - PANE_MARGIN
                found = details.of_row(self._observer, row, table, width)
                self._show(found) if isinstance(found, Details) else self._run_job(found)

    def action_cancel(self) -> None:
        if self._is_frozen():
            return
        planner = self._actions().for_row(self._row())
        self._show_note(planner) if isinstance(planner, str) else self._run_job(planner)

    def action_reap(self) -> None:
        if self._is_frozen():
            return
        self._run_job(self._actions().reap)

    def _is_frozen(self) -> bool:
        """Whether a file is shown; says then that it cannot be acted on."""
        if self._observer.file is None:
            return False
        self._show_note(keys.FROZEN)
        return True

    def action_runbook(self) -> None:
        self._show(details.page(self.state.rule(self._row())))

    def _actions(self) -> ScreenActions:
        return ScreenActions(self._observer, self.size.width - PANE_MARGIN)

    def _row(self) -> Any:
        """The row under the cursor."""
        rows, place = self.state.rows(), self._list.cursor_row
        return rows[place] if 0 <= place < len(rows) else None

    # ------------------------------------------------------------ drawing

    def _show_note(self, text: str) -> None:
        """Show the response to a key in place of the description, for NOTE_SECONDS or while busy."""
        self._note, self._noted_at = text, time.monotonic()
        self._draw_about()
        if self._observer.file is not None:  # which nothing else draws again
            self.set_timer(NOTE_SECONDS + 0.1, self._draw_about)

    def draw(self, *, to_top: bool = False) -> None:
        width, height = self.size
        state, space = self.state, Space(width, max(2, height - BODY_HEIGHT), self._blocks)
        lines = header(state.snapshot, state.away, time.monotonic() - state.answered_at, space)
        self.query_one("#head", Static).update(self._head(lines))
        self.query_one("#tabs", Static).update(state.tabs(width))
        self.query_one("#keys", Static).update(keys.footer(width, live=self._observer.file is None))
        self._draw_about()
        rows = state.rows()
        self._list.show(state.current, rows, to_top=to_top)
        empty = self.query_one("#empty", Static)
        empty.display = not rows
        empty.update("" if rows else state.empty())

    def _draw_about(self) -> None:
        expired = not self._busy and time.monotonic() - self._noted_at > NOTE_SECONDS
        text = self.state.about() if expired or not self._note else self._note
        self.query_one("#about", Static).update(text)
