"""A loop that waits to the microsecond.

epoll_wait(2) counts in milliseconds, and asyncio rounds up: what falls due leaves half a millisecond
late on average. select(2) counts in microseconds, and here has one descriptor to wait for, which is
the epoll's own (epoll(7): it can be read when something in it is ready).
"""

from __future__ import annotations

import asyncio
import logging
import select
import selectors

log = logging.getLogger("qcfeed.selector")


class PreciseSelector(selectors.EpollSelector):
    """An epoll selector whose waits end on time, each a microsecond dearer.

    select(2) takes descriptors below FD_SETSIZE, 1,024. Where the epoll's own is higher, because the
    program had that many files open before, ``precise`` is False: waits are rounded up to
    milliseconds, as asyncio's own are, and a warning says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.precise = self._can_be_selected()
        if not self.precise:
            log.warning(
                "the loop's descriptor is %d, and select(2) takes those below 1,024: timers are"
                " rounded up to milliseconds; start the loop before other files are opened",
                self.fileno(),
            )

    def _can_be_selected(self) -> bool:
        try:
            select.select((self,), (), (), 0)
        except ValueError:
            return False
        return True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0 and self.precise:
            select.select((self,), (), (), timeout)
            timeout = 0
        return super().select(timeout)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """For ``asyncio.Runner``, at the start of a program: later the descriptor may be too high."""
    return asyncio.SelectorEventLoop(PreciseSelector())
