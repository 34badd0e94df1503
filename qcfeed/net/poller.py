"""Which connections are ready, asked of the kernel for all of them at once.

A loop's own reader costs a handle, a key and a context for each connection, and a callback for each
thing that happens to it. Here the loop has one reader, an epoll of ours, and what is ready is called
without a detour. An epoll that has something ready is itself ready to be read (epoll(7)).
"""

from __future__ import annotations

import asyncio
import select
from typing import Protocol

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

MOST_READY = 256
"""Events of one turn of the loop; the rest stay ready."""


class Watched(Protocol):
    """Who has a descriptor that is watched. It may be called when it no longer waits for that."""

    def ready(self, events: int) -> None:
        """``events``: what the kernel says of it; a peer that is gone sets more than was asked for."""

    def end(self, error: Exception | None) -> None:
        """As it was asked to, after whatever is going on."""


class Poller:
    """The descriptors of one loop's connections. Its methods are called in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._resting: set[int] = set()
        """Those of them that wait for nothing just now, and are not in the epoll."""
        self._ending: list[tuple[Watched, Exception | None]] = []
        self._polling = False
        self._retired = False
        loop.add_reader(self._epoll.fileno(), self._poll)

    def retire(self) -> None:
        """Nobody new will come: when nobody is left that is watched, it closes."""
        self._retired = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._retired and not self._watched and not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def watch(self, fd: int, events: int, watched: Watched) -> None:
        """Call ``watched.ready`` for what of ``events`` happens; none: not until it is watched again."""
        if fd not in self._watched:
            self._watched[fd] = watched
            self._resting.add(fd)
        if fd not in self._resting:
            if events:
                self._epoll.modify(fd, events)
            else:  # a peer that is gone would be told of even so
                self._epoll.unregister(fd)
                self._resting.add(fd)
        elif events:
            self._epoll.register(fd, events)
            self._resting.discard(fd)

    def forget(self, fd: int) -> None:
        """It is about to be closed, or nothing of it matters now.

        Closing would take it out of the epoll, too, but not where a forked child still has it.
        """
        if self._watched.pop(fd, None) is None:
            return
        if fd in self._resting:
            self._resting.discard(fd)
        else:
            self._epoll.unregister(fd)
        if self._retired:
            self._close_if_idle()

    def end_soon(self, watched: Watched, error: Exception | None) -> None:
        """Call ``watched.end(error)`` when this turn's events have been seen to."""
        if not self._ending and not self._polling:
            self._loop.call_soon(self._end)
        self._ending.append((watched, error))

    def _poll(self) -> None:
        self._polling = True
        try:
            for fd, events in self._epoll.poll(0, MOST_READY):
                # One that ended meanwhile is not there; a newcomer at its number finds nothing to do.
                watched = self._watched.get(fd)
                if watched is not None:
                    watched.ready(events)
        finally:
            self._polling = False
            if self._ending:
                self._end()

    def _end(self) -> None:
        ending, self._ending = self._ending, []
        for watched, error in ending:
            try:
                watched.end(error)
            except Exception as bug:  # noqa: BLE001 -- the others are to end all the same
                self._loop.call_exception_handler(
                    {"message": "a bug at the end of a connection", "exception": bug}
                )
