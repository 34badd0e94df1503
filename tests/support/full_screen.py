"""``qcfeed top`` under Textual's pilot: keys in, what stands on the screen out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from qcfeed.cli.top.observer import Away, Looker, Seen, Wanted
from qcfeed.cli.top.panes import Pane, Question
from qcfeed.cli.top.screen import Top
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import Address
from tests.support.patience import PATIENCE
from tests.support.running_service import until

__all__ = ["EVERY", "PATIENCE", "Screen", "shown"]

EVERY = 0.2
"""Seconds between two looks."""


class RecordingLooker(Looker):
    """Remembers every look."""

    looks: list[Seen | Away]

    def look(self, wanted: Wanted) -> Seen | Away:
        seen = Looker.look(self, wanted)
        self.looks.append(seen)
        return seen


class Screen:
    """The application and the pilot at its keys."""

    def __init__(self, app: Top, pilot: Pilot[None], looks: list[Seen | Away]) -> None:
        self.app = app
        self.looks = looks
        """All that was seen, oldest first."""
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def pause(self) -> None:
        await self._pilot.pause()

    def said(self, name: str) -> str:
        """``head``, ``tabs``, ``about``, ``empty`` or ``keys``."""
        return str(self.app.query_one(f"#{name}", Static).content)

    @property
    def table(self) -> DataTable[Any]:
        return self.app.query_one(DataTable)

    @property
    def rows(self) -> list[list[str]]:
        table = self.table
        return [[str(cell) for cell in table.get_row_at(at)] for at in range(table.row_count)]

    @property
    def chosen(self) -> list[str]:
        """The row under the cursor."""
        return self.rows[self.table.cursor_row]

    @property
    def pane(self) -> str:
        """What is open over the lists."""
        return "\n".join(str(each.content) for each in self.app.screen.query(Static))

    @property
    def asks(self) -> bool:
        return isinstance(self.app.screen, Question) and bool(self.pane)

    @property
    def tells(self) -> bool:
        return isinstance(self.app.screen, Pane) and bool(self.pane)

    @property
    def title(self) -> str:
        """Of what is open."""
        return str(self.app.screen.query("VerticalScroll").first().border_title)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait; a failure says what stood there instead."""
        await until(
            condition,
            "what the test waits for",
            instead=lambda: (self.said("head"), self.said("about"), self.rows, self.pane),
        )

    async def asked(self, *keys: str) -> str:
        """The question that these keys lead to, with its plan."""
        await self.press(*keys)
        await self.until(lambda: self.asks)
        return self.pane

    async def told(self, *keys: str) -> str:
        """The text that these keys open."""
        await self.press(*keys)
        await self.until(lambda: self.tells)
        return self.pane


@contextlib.asynccontextmanager
async def shown(
    socket: Path, size: tuple[int, int] = (80, 24), timeout: float = PATIENCE
) -> AsyncIterator[Screen]:
    """The screen of the service behind this control socket; its thread must have ended at the end."""
    looker = RecordingLooker(lambda: ControlClient(Address(socket=socket), timeout=timeout))
    looker.looks = []
    app = Top(looker, every=EVERY)
    async with app.run_test(size=size) as pilot:
        yield Screen(app, pilot, looker.looks)
    assert not [each for each in threading.enumerate() if each.name == "qcfeed-top"]
    if app.fault is not None:
        raise app.fault
