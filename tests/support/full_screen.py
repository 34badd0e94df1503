"""``qcfeed top`` under Textual's pilot: keys in, text on the screen out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from qcfeed.cli.top.observer import Away, ListTarget, Observer, ServiceSnapshot
from qcfeed.cli.top.panes import Pane, Question
from qcfeed.cli.top.screen import Top
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from tests.support.patience import PATIENCE
from tests.support.running_service import until

__all__ = ["EVERY", "PATIENCE", "Screen", "shown"]

EVERY = 0.2
"""Seconds between two refreshes."""


class RecordingObserver(Observer):
    """Records the result of every refresh."""

    results: list[ServiceSnapshot | Away]

    def refresh(self, target: ListTarget) -> ServiceSnapshot | Away:
        result = Observer.refresh(self, target)
        self.results.append(result)
        return result


class Screen:
    """The application and the pilot at its keys."""

    def __init__(
        self, app: Top, pilot: Pilot[None], refreshes: list[ServiceSnapshot | Away]
    ) -> None:
        self.app = app
        self.refreshes = refreshes
        """The results of all refreshes, the oldest first."""
        self._pilot = pilot

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def pause(self) -> None:
        await self._pilot.pause()

    def text(self, name: str) -> str:
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
    def current_row(self) -> list[str]:
        """The row under the cursor."""
        return self.rows[self.table.cursor_row]

    @property
    def pane(self) -> str:
        """The text of the modal screen."""
        return "\n".join(str(each.content) for each in self.app.screen.query(Static))

    @property
    def has_question(self) -> bool:
        return isinstance(self.app.screen, Question) and bool(self.pane)

    @property
    def has_pane(self) -> bool:
        return isinstance(self.app.screen, Pane) and bool(self.pane)

    @property
    def title(self) -> str:
        """The title of the modal screen."""
        return str(self.app.screen.query("VerticalScroll").first().border_title)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait; a failure shows the screen."""
        await until(
            condition,
            "what the test waits for",
            instead=lambda: (self.text("head"), self.text("about"), self.rows, self.pane),
        )

    async def question(self, *keys: str) -> str:
        """Press these keys; the question that they open, with its plan."""
        await self.press(*keys)
        await self.until(lambda: self.has_question)
        return self.pane

    async def opened(self, *keys: str) -> str:
        """Press these keys; the text of the pane that they open."""
        await self.press(*keys)
        await self.until(lambda: self.has_pane)
        return self.pane


@contextlib.asynccontextmanager
async def shown(
    socket: Path, size: tuple[int, int] = (80, 24), timeout: float = PATIENCE
) -> AsyncIterator[Screen]:
    """The screen of the service behind this control socket; its thread must have ended at the end."""
    observer = RecordingObserver(
        lambda: ControlClient(ControlAddress(socket=socket), timeout=timeout)
    )
    observer.results = []
    app = Top(observer, every=EVERY)
    async with app.run_test(size=size) as pilot:
        yield Screen(app, pilot, observer.results)
    assert not [each for each in threading.enumerate() if each.name == "qcfeed-top"]
    if app.fault is not None:
        raise app.fault
