"""``qcfeed top`` on the terminal: keys in, lines out. All that is asked is asked by asker.py's thread."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, cast

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from qcfeed.cli.sparkline import BLOCKS
from qcfeed.cli.top import details
from qcfeed.cli.top.actions import Actions, Outcome, Plan
from qcfeed.cli.top.asker import Asker
from qcfeed.cli.top.details import Details
from qcfeed.cli.top.head import head
from qcfeed.cli.top.looker import Away, Looker, Seen, lines_of
from qcfeed.cli.top.panes import Pane, Question
from qcfeed.cli.top.state import ROOM_FOR_LISTS, State
from qcfeed.cli.top.trail import Row
from qcfeed.cli.top.views import ASCII_CUT, CUT, fitted, views
from qcfeed.control.answers import Feed, Orphan, Task
from qcfeed.control.subscriber_answers import Subscriber
from qcfeed.errors import QcfeedError
from qcfeed.verdict.answers import Finding

KEYS = "Enter open  / filter  s sort  c cancel  r reap  b runbook  ? help  q quit"
HELP = """\
1 to 5, Tab      another list
Up Down PgUp PgDn Home End   move
Enter            open: the tasks of a location, a task, a feed, a finding
Esc              back; undo the filter
/                only rows that hold these words
s, S             sort by the next column; the other way round
Space            hold the screen still, and go on
c                cancel: the tasks of a location, a task, a feed; end a connection
r                reap all orphans
b                the runbook of the finding
q, Ctrl-C        quit

c and r show the plan, and ask. They do what `qcfeed tasks cancel`, `feeds cancel`,
`subscribers kick` and `orphans --reap` do, and are in the audit log as those.""".splitlines()
MARGIN = 6
"""Cells that a pane's frame takes."""


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
        Binding("q,ctrl+c", "quit", "Quit", priority=False),
        *(Binding(str(n), f"list('{name}')", name) for n, name in enumerate(ROOM_FOR_LISTS, 1)),
        Binding("tab", "step(1)", "Next list", priority=True),
        Binding("shift+tab", "step(-1)", "List before", priority=True),
        Binding("escape", "undo", "Back"),
        Binding("slash", "filter", "Filter"),
        Binding("s", "sort", "Sort"),
        Binding("S", "reverse", "Reverse"),
        Binding("space", "pause", "Pause"),
        Binding("c", "cancel", "Cancel"),
        Binding("r", "reap", "Reap"),
        Binding("b", "runbook", "Runbook"),
        Binding("question_mark,h,f1", "help", "Help"),
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
        self._asker = Asker(
            lambda: looker.look(self.state.wanted), self._heard, every=every, cancel=looker.close
        )

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="tabs", markup=False)
        yield DataTable(id="list", cursor_type="row", cell_padding=1)
        yield Static(id="empty", markup=False)
        yield Input(id="filter", placeholder="words", compact=True)
        yield Static(id="about", markup=False)
        yield Static(KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one("#filter").display = False
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self.query_one(DataTable).focus()
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

    def on_told(self, told: Told) -> None:
        match told.what:
            case Seen() | Away() as look:
                self.state.take(look, time.monotonic())
                self.draw()
            case Plan() as plan:
                self._propose(plan)
            case Outcome(title, lines, alarming):
                self.push_screen(Pane(title, lines, alarming=alarming))
                self._asker.look()
            case Details() as found:
                self._show(found)
            case QcfeedError() as error:
                self.push_screen(Pane("error", list(lines_of(error)), alarming=True))
            case Exception() as fault:
                self.fault = fault
                self.exit()

    def _propose(self, plan: Plan) -> None:
        act = plan.act
        if act is None:
            self.push_screen(Pane("plan", [plan.question]))
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._say("doing it; they have the time of --timeout to end")
                self._asker.do(act)
            else:
                self._say("nothing was done")

        self.push_screen(Question(plan.question, plan.lines), answered)

    def _show(self, found: Details) -> None:
        def closed(key: str | None) -> None:
            if key == "c" and found.serial is not None:
                self._asker.do(partial(self._actions().cancel, serials=[found.serial]))
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
        self.push_screen(Pane("keys", HELP))

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
        self.query_one("#filter").display = False
        self.state.filter(words)
        self.query_one(DataTable).focus()
        self.draw(anew=True)

    def on_data_table_row_selected(self) -> None:
        asked = self._looker
        view = self.state.current
        width = self.size.width - MARGIN
        match self._row():
            case Row(location=site):
                self._go(lambda: self.state.go("location", site))
            case Task(serial=serial) | Orphan(task=int(serial)):
                self._asker.do(lambda: details.task(asked.client, serial, width))
            case Feed() as feed:
                self._asker.do(lambda: details.feed(asked.client, feed, view.table, width))
            case Finding() as finding:
                self._show(details.finding(finding, width))
            case None:
                return
            case other:
                title = view.table.identity(other)
                self._show(Details(title, details.row(other, view.table, width)))

    def action_cancel(self) -> None:
        actions = self._actions()
        match self._row():
            case Row(location=site):
                self._asker.do(lambda: actions.cancel(site=site))
            case Task(serial=serial) | Orphan(task=int(serial)):
                self._asker.do(lambda: actions.cancel(serials=[serial]))
            case Feed() as feed:
                self._asker.do(lambda: actions.cancel_feed(feed))
            case Subscriber() as reader:
                self._asker.do(lambda: actions.kick(reader))
            case Orphan():
                self._say("a subscription has no task to cancel: r reaps it")
            case _:
                self._say("there is nothing to cancel in this row")

    def action_reap(self) -> None:
        self._asker.do(self._actions().reap)

    def action_runbook(self) -> None:
        row = self._row()
        if isinstance(row, Finding):
            rule: str | None = row.rule
        else:
            told = self.state.seen.judged if self.state.seen else None
            findings = told.diagnosis.findings if told else []
            rule = findings[0].rule if findings else None
        self._show(details.page(rule))

    def _actions(self) -> Actions:
        return Actions(self._looker, self.size.width - MARGIN)

    def _row(self) -> Any:
        """The row under the cursor."""
        rows, place = self.state.rows(), self.query_one(DataTable).cursor_row
        return rows[place] if 0 <= place < len(rows) else None

    # ------------------------------------------------------------ drawing

    def _say(self, text: str) -> None:
        self.query_one("#about", Static).update(text)

    def draw(self, *, anew: bool = False) -> None:
        """All of it. The cursor stays on its row, unless the list is shown ``anew``."""
        state = self.state
        lines = head(state.seen, state.away, time.monotonic() - state.heard, self._blocks)
        width = self.size.width
        styled = [Text(line.text, style=line.colour or "", no_wrap=True) for line in lines]
        for line in styled:
            line.truncate(width, overflow="ellipsis")
        self.query_one("#head", Static).update(Text("\n").join(styled))
        self.query_one("#tabs", Static).update(state.tabs())
        self.query_one("#about", Static).update(state.about())
        self._draw_list(anew=anew)

    def _draw_list(self, *, anew: bool) -> None:
        table = cast("DataTable[Text]", self.query_one(DataTable))
        rows = self.state.rows()
        identity = self.state.current.table.identity
        keep = None if anew or not table.cursor_row else self._key_at_cursor(table)
        scrolled = table.scroll_y
        shown = fitted(self.state.current, rows, self._list_width(), self._cut)
        table.clear(columns=True)
        for title, width, right in zip(shown.titles, shown.widths, shown.right, strict=True):
            table.add_column(_cell(title, None, right=right), width=width)
        keys = [identity(row) for row in rows]
        for key, cells in zip(keys, shown.rows, strict=True):
            table.add_row(
                *(
                    _cell(cell.text, cell.colour, right=right)
                    for cell, right in zip(cells, shown.right, strict=True)
                ),
                key=key if keys.count(key) == 1 else None,
            )
        if keep in keys:
            table.move_cursor(row=keys.index(keep), animate=False, scroll=False)
            table.scroll_to(y=scrolled, animate=False)
        empty = self.query_one("#empty", Static)
        empty.display = not rows
        empty.update(self.state.empty() if not rows else "")

    def _key_at_cursor(self, table: DataTable[Text]) -> str | None:
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key
        return key.value

    def _list_width(self) -> int:
        """Cells for the list: the scroll bar, and each column's two blanks, of which we count one gap."""
        return self.size.width - 4


def _cell(text: str, colour: str | None, *, right: bool) -> Text:
    return Text(text, style=colour or "", justify="right" if right else "left", no_wrap=True)
