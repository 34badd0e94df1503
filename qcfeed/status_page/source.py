"""The status page's content, computed at most once per interval for all viewers, and only while somebody looks."""

from __future__ import annotations

import asyncio
import logging
import shlex
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from qcfeed.control.routes import FEEDS, STATUS, SUBSCRIBERS
from qcfeed.errors import QcfeedError, TimedOutError
from qcfeed.model.feeds import Feeds
from qcfeed.model.status import ServiceStatus
from qcfeed.model.subscribers import Subscribers
from qcfeed.observe.collector import Control
from qcfeed.observe.tracker import Tracker
from qcfeed.status_page import tables, view

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds for which an answer is given to all viewers."""
WAIT = 4.0
"""Seconds to wait for a new answer; after that a viewer gets the last one, with its age."""


class Content(NamedTuple):
    """The page as JSON, and how old it is, in seconds."""

    json: bytes
    age_s: float


class PageSource:
    """Requests what the page shows, in a thread of its own: a snapshot of many tasks takes a while.

    ``control``: the service's own control plane. ``instance``: its name, once it has started; commands to
    type name it. ``clock``: monotonic.
    """

    def __init__(
        self,
        control: Control,
        instance: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control = control
        self._clock = clock
        self._tracker = Tracker(clock=clock)
        self._instance = instance
        self._thread = ThreadPoolExecutor(1, "qcfeed-status-page")
        self._running: asyncio.Future[bytes] | None = None
        self._json: bytes | None = None
        self._at = float("-inf")

    async def content(self) -> Content:
        """The page, at most INTERVAL old if it can be computed in time. Raises QcfeedError."""
        if self._running is None and self._clock() - self._at >= INTERVAL:
            loop = asyncio.get_running_loop()
            self._running = loop.run_in_executor(self._thread, self._look)
            self._running.add_done_callback(self._take)
        if (running := self._running) is not None:
            # Not wait_for: a viewer that leaves must not cancel what the others wait for.
            await asyncio.wait([running], timeout=WAIT)
            if running.done() and (error := running.exception()) is not None:
                raise error
        if self._json is None:
            raise TimedOutError(
                f"the status could not be collected within {WAIT:g} s", hint="it is tried again"
            )
        return Content(self._json, self._clock() - self._at)

    async def close(self) -> None:
        """Wait for the thread to end."""
        await asyncio.to_thread(self._thread.shutdown)

    def _take(self, finished: asyncio.Future[bytes]) -> None:
        self._running = None
        if finished.cancelled():
            return
        if (error := finished.exception()) is None:
            self._json, self._at = finished.result(), self._clock()
        elif not isinstance(error, QcfeedError):
            logger.error("the status page met a bug", exc_info=error)

    def _look(self) -> bytes:
        """Runs in the thread."""
        began = self._clock()
        control = self._control
        self._tracker.called = f"qcfeed --instance {shlex.quote(self._instance())}"
        try:
            tracked = self._tracker.refresh(control)
            page = view.page(
                tracked,
                tracked.status or control.get(STATUS, ServiceStatus),
                self._tracker.recent.trends(),
                control.get(FEEDS, Feeds),
                control.get(SUBSCRIBERS, Subscribers, limit=tables.ROWS),
            )
        except Exception:
            self._tracker.lost()
            raise
        page.elapsed_ms = round((self._clock() - began) * 1_000, 3)
        return msgspec.json.encode(page)
