"""A loop that waits to the microsecond.

epoll_wait(2) counts in milliseconds, and asyncio rounds up: what falls due leaves half a millisecond
late on average. select(2) counts in microseconds, and here has one descriptor to wait for, which is
the epoll's own (epoll(7): it can be read when something in it is ready).
"""

from __future__ import annotations

import asyncio
import select
import selectors


class PreciseSelector(selectors.EpollSelector):
    """As its parent, a microsecond dearer a wait. Its descriptor must be below FD_SETSIZE, 1,024."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select((self,), (), (), timeout)
            timeout = 0
        return super().select(timeout)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """For ``asyncio.Runner``, at the start of a program: later the descriptor may be too high."""
    return asyncio.SelectorEventLoop(PreciseSelector())
