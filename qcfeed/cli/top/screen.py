"""``qcfeed top`` on the terminal: keys in, lines out. All that is asked is asked by worker.py's thread."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from qcfeed.cli.top import details, keys
from qcfeed.cli.top.actions import Actions, Outcome, Plan
from qcfeed.cli.top.details import Details
from qcfeed.cli.top.header import Room, head
from qcfeed.cli.top.listing import Listing
from qcfeed.cli.top.observer import Away, Looker, Seen, lines_of
from qcfeed.cli.top.panes import Pane, Question
from qcfeed.cli.top.recent import Row
from qcfeed.cli.top.state import State
from qcfeed.cli.top.views import ASCII_CUT, CUT, cut_to, views
from qcfeed.cli.top.worker import Asker
from qcfeed.cli.ui.sparkline import BLOCKS
from qcfeed.errors import QcfeedError

MARGIN = 6
"""Cells that a pane's frame takes."""
BELOW = 10
"""Lines for what is not the head: the lists' names, four rows and their titles, what they show, the keys."""
NOTE_S = 4.0
"""Seconds for which it is told what became of a key."""


class Told(Message):
    """What the asking thread has to say."""

    def __init__(self, what: object) -> None:
        super().__init__()
        self.what = what


class Top(App[None]):
    """The full-screen view. ``every``: seconds between two looks."""

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(name, action, key.about, priority=name in keys.EVERYWHERE)
        for key in keys.KEYS
        for name, action in key.does.items()
    ]

    def __init__(self, looker: Looker, *, every: float, blocks: str = BLOCKS) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.state = State(views(blocks))
        self.fault: Exception | None = None
        """What the asking thread met and nobody expected."""
        self._looker = looker
        self._blocks = blocks
        self._cut = CUT if blocks == BLOCKS else ASCII_CUT
        self._list = Listing(self._cut)
        self._asking = False
        self._note, self._noted = "", 0.0
        self._asker = Asker(
            lambda: looker.look(self.state.wanted), self._heard, every=every, cancel=looker.close
        )

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="tabs", markup=False)
        yield self._list
        yield Static(id="empty", markup=False)
        yield Input(id="filter", placeholder="words", compact=True)
        yield Static(id="about", markup=False)
        yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self._list.focus()
        self.state.heard = time.monotonic()
        self._asker.start()
        self.draw()

    async def on_unmount(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        await asyncio.to_thread(self._asker.stop)

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    # ------------------------------------------------------------ what was heard

    def _heard(self, what: object) -> None:
        """From the asking thread."""
        self.post_message(Told(what))

    def _ask(self, job: Callable[[], object], saying: str = "asking ...") -> None:
        """One thing at a time: a key that is pressed again before the answer asks nothing more."""
        if not self._asking:
            self._asking = True
            self._say(saying)
            self._asker.do(job)

    def on_told(self, told: Told) -> None:
        match told.what:
            case Exception() as fault if not isinstance(fault, QcfeedError):
                self.fault = fault
                self.exit()
            case _ if not self._list.is_attached:
                return  # the screen is being taken down, and has nothing to draw on
            case Seen() | Away() as look:
                self.state.take(look, time.monotonic())
                self.draw()
            case answer:
                self._asking = False
                self._say("")
                self._answered(answer)

    def _answered(self, what: object) -> None:
        match what:
            case Plan() as plan:
                self._propose(plan)
            case Outcome(title, lines, alarming):
                self.push_screen(Pane(title, lines, alarming=alarming))
                self._asker.look()
            case Details() as found:
                self._show(found)
            case QcfeedError() as error:
                self.push_screen(Pane("error", list(lines_of(error)), alarming=True))

    def _propose(self, plan: Plan) -> None:
        act = plan.act
        if act is None:
            self.push_screen(Pane("plan", [plan.question]))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._ask(act, "doing it; they have the time of --timeout to end")
            else:
                self._say("nothing was done")

        self.push_screen(Question(plan.question, plan.lines), answered)

    def _show(self, found: Details) -> None:
        def closed(key: str | None) -> None:
            if key == "c" and found.serial is not None:
                self._ask(partial(self._actions().cancel, serials=[found.serial]))
            elif key == "b":
                self._show(details.page(found.rule))
            elif key == "r":
                self.action_reap()

        more: dict[str, str] = {}
        if found.serial is not None:
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
        """Another list: drawn at once, and looked at."""
        if len(self.screen_stack) > 1:
            return
        move()
        self._hide_filter()
        self.draw(anew=True)
        self._asker.look()

    def action_sort(self) -> None:
        self.state.sort()
        self.draw(anew=True)

    def action_reverse(self) -> None:
        self.state.reverse()
        self.draw(anew=True)

    def action_pause(self) -> None:
        self.state.paused = not self.state.paused
        self.draw()

    def action_help(self) -> None:
        self.push_screen(Pane("keys", [*keys.told(), "", *keys.AFTERWARDS]))

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = self.state.chosen.words
        field.display = True
        field.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        if self.query_one("#filter").display:
            self.state.filter(changed.value)
            self.draw(anew=True)

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        self._close_filter(submitted.value)

    def _close_filter(self, words: str) -> None:
        self._hide_filter()
        self.state.filter(words)
        self.draw(anew=True)

    def _hide_filter(self) -> None:
        self.query_one("#filter").display = False
        self._list.focus()

    def on_data_table_row_selected(self) -> None:
        match self._row():
            case None:
                return
            case Row(location=site):
                self._go(lambda: self.state.go("location", site))
            case row:
                table, width = self.state.current.table, self.size.width - MARGIN
                found = details.opened(self._looker, row, table, width)
                self._show(found) if isinstance(found, Details) else self._ask(found)

    def action_cancel(self) -> None:
        planned = self._actions().against(self._row())
        self._say(planned) if isinstance(planned, str) else self._ask(planned)

    def action_reap(self) -> None:
        self._ask(self._actions().reap)

    def action_runbook(self) -> None:
        self._show(details.page(self.state.rule(self._row())))

    def _actions(self) -> Actions:
        return Actions(self._looker, self.size.width - MARGIN)

    def _row(self) -> Any:
        """The row under the cursor."""
        rows, place = self.state.rows(), self._list.cursor_row
        return rows[place] if 0 <= place < len(rows) else None

    # ------------------------------------------------------------ drawing

    def _say(self, text: str) -> None:
        """What became of a key, or becomes of it."""
        self._note, self._noted = text, time.monotonic()
        self._draw_about()

    def draw(self, *, anew: bool = False) -> None:
        """All of it. The cursor stays on its row, unless the list is shown ``anew``."""
        width, height = self.size
        state, room = self.state, Room(width, max(2, height - BELOW), self._blocks)
        lines = head(state.seen, state.away, time.monotonic() - state.heard, room)
        styled = [
            Text(cut_to(line.text, width, self._cut), style=line.colour or "") for line in lines
        ]
        self.query_one("#head", Static).update(Text("\n").join(styled))
        self.query_one("#tabs", Static).update(state.tabs(width))
        self.query_one("#keys", Static).update(keys.footer(width))
        self._draw_about()
        rows = state.rows()
        self._list.show(state.current, rows, anew=anew)
        empty = self.query_one("#empty", Static)
        empty.display = not rows
        empty.update("" if rows else state.empty())

    def _draw_about(self) -> None:
        old = not self._asking and time.monotonic() - self._noted > NOTE_S
        text = self.state.about() if old or not self._note else self._note
        self.query_one("#about", Static).update(text)
