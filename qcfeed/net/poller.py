"""Polls the descriptors of all connections with one epoll, and calls those that are ready.

``loop.add_reader`` costs a handle, a selector key and a context per connection, and a scheduled callback
per event. Here the loop has a single reader, for our own epoll, which is readable while a descriptor
in it is ready (epoll(7)); the connections are called directly.
"""

from __future__ import annotations

import asyncio
import select
from typing import Protocol

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

MAX_EVENTS = 256
"""Events handled per turn of the loop; the other descriptors stay ready."""


class Pollable(Protocol):
    """The owner of a watched descriptor. Spurious calls of ``ready`` are possible."""

    def ready(self, events: int) -> None:
        """The descriptor is ready. ``events`` may include EPOLLHUP and EPOLLERR unasked."""

    def end(self, error: Exception | None) -> None:
        """Called once after ``Poller.end_soon``, when the current events have been handled."""


class Poller:
    """Watches the descriptors of one loop's connections. Call its methods in the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._watched: dict[int, Pollable] = {}
        self._idle: set[int] = set()
        """Watched descriptors that wait for no event, and so are not in the epoll."""
        self._ending: list[tuple[Pollable, Exception | None]] = []
        self._polling = False
        self._closing = False
        loop.add_reader(self._epoll.fileno(), self._poll)

    def close_when_idle(self) -> None:
        """Close the epoll as soon as no descriptor is watched any more."""
        self._closing = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self._watched and not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def watch(self, fd: int, events: int, watched: Pollable) -> None:
        """Call ``watched.ready`` when one of ``events`` occurs; 0 pauses until the next ``watch``."""
        if fd not in self._watched:
            self._watched[fd] = watched
            self._idle.add(fd)
        if fd not in self._idle:
            if events:
                self._epoll.modify(fd, events)
            else:  # with an empty mask the epoll would still report EPOLLHUP and EPOLLERR
                self._epoll.unregister(fd)
                self._idle.add(fd)
        elif events:
            self._epoll.register(fd, events)
            self._idle.discard(fd)

    def unwatch(self, fd: int) -> None:
        """Stop watching ``fd``; call it before closing the descriptor.

        Closing removes a descriptor from the epoll only if no forked child still has it open.
        """
        if self._watched.pop(fd, None) is None:
            return
        if fd in self._idle:
            self._idle.discard(fd)
        else:
            self._epoll.unregister(fd)
        if self._closing:
            self._close_if_idle()

    def end_soon(self, watched: Pollable, error: Exception | None) -> None:
        """Call ``watched.end(error)`` after the events of this turn have been handled."""
        # While polling, ``_poll`` itself calls ``_end`` when the events have been handled.
        if not self._ending and not self._polling:
            self._loop.call_soon(self._end)
        self._ending.append((watched, error))

    def _poll(self) -> None:
        self._polling = True
        try:
            # It never waits: the loop has seen that something is ready. Events that an exception
            # leaves unhandled are reported again, because the epoll is level-triggered.
            for fd, events in self._epoll.poll(0, MAX_EVENTS):
                # An earlier event of this batch may have closed this descriptor: then it is not
                # watched, or a new connection has its number, and finds nothing to read yet.
                watched = self._watched.get(fd)
                if watched is not None:
                    watched.ready(events)
        finally:
            self._polling = False
            if self._ending:
                self._end()

    def _end(self) -> None:
        # A protocol that ends may end others; those follow in the next turn of the loop.
        ending, self._ending = self._ending, []
        for watched, error in ending:
            try:
                watched.end(error)
            except Exception as bug:  # noqa: BLE001 -- the other connections must still end
                self._loop.call_exception_handler(
                    {"message": "bug while closing a connection", "exception": bug}
                )
