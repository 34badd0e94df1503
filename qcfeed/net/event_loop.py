"""An event loop whose timers are precise to the microsecond.

epoll_wait(2) takes milliseconds, and asyncio rounds up, so timers fire half a millisecond late on
average. select(2) takes microseconds. Here it waits on a single descriptor, the epoll's own, which is
readable when any descriptor in the epoll is ready (epoll(7)).
"""

from __future__ import annotations

import asyncio
import logging
import select
import selectors

log = logging.getLogger("qcfeed.selector")


class PreciseSelector(selectors.EpollSelector):
    """An epoll selector with microsecond timeouts. Cost: one more microsecond per wait.

    select(2) supports descriptors below FD_SETSIZE (1,024). If the epoll's own descriptor is higher,
    because the program had that many files open already, ``precise`` is False: timeouts are rounded up
    to milliseconds, as in asyncio, and a warning is logged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.precise = self._can_be_selected()
        if not self.precise:
            log.warning(
                "the loop's file descriptor is %d, but select(2) supports only those below 1,024:"
                " timers are rounded up to milliseconds; start the loop before opening other files",
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
    """A loop factory for ``asyncio.Runner``. Call it early, while low file descriptors are free."""
    return asyncio.SelectorEventLoop(PreciseSelector())
