"""What the full-screen views of one service and of a cluster share: the list, the job thread, the start and the end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable

from rich.text import Text
from textual.app import App
from textual.message import Message

from qcfeed.cli.top.header import HeaderLine
from qcfeed.cli.top.listing import RowList
from qcfeed.cli.top.theme import Theme
from qcfeed.cli.top.views import ASCII_ELLIPSIS, ELLIPSIS, truncate
from qcfeed.cli.top.worker import JobThread
from qcfeed.cli.ui.sparkline import BLOCKS

BODY_HEIGHT = 10
"""The lines to keep below the header: tabs, column titles and four rows, description, keys."""


class JobResult(Message):
    """The result of a job of the job thread: a value, or the exception that it raised."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class FullScreen(App[None]):
    """A full-screen view that is drawn again after each ``refresh``, which the job thread calls.

    ``every``: seconds between two refreshes. ``cancel`` must make a running job end soon.
    """

    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        refresh: Callable[[], object],
        *,
        every: float,
        cancel: Callable[[], None],
        blocks: str,
        theme: Theme,
    ) -> None:
        super().__init__(ansi_color=True)
        self.theme = theme.textual
        self.fault: Exception | None = None
        """An unexpected exception of the job thread: the caller raises it after the screen is gone."""
        self._colours = theme
        self._ellipsis = ELLIPSIS if blocks == BLOCKS else ASCII_ELLIPSIS
        self._list = RowList(self._ellipsis, theme)
        self._jobs = JobThread(refresh, self._deliver, every=every, cancel=cancel)

    def on_mount(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self._list.focus()
        self._jobs.start()
        self.draw()

    async def on_unmount(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        await asyncio.to_thread(self._jobs.stop)

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def draw(self, *, to_top: bool = False) -> None:
        """Draw everything. The cursor stays on its row, or goes to the first one with ``to_top``."""
        raise NotImplementedError

    def _deliver(self, value: object) -> None:
        """Called in the job thread; post_message is thread-safe."""
        self.post_message(JobResult(value))

    def _head(self, lines: Iterable[HeaderLine]) -> Text:
        """The lines of the header, coloured and cut to the width of the screen."""
        return Text("\n").join(
            Text(
                truncate(line.text, self.size.width, self._ellipsis),
                style=self._colours.style(line.colour),
            )
            for line in lines
        )
