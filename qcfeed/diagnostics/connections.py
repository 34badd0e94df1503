"""The connections that a task holds: sockets that its coroutines refer to, directly or through objects.

A task that serves a connection lives as long as the connection does. So open connections explain many
live tasks, unless the peers have closed them already (CLOSE_WAIT): then the tasks serve nobody.

Objects are followed without executing anything of the program (references.py).
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from qcfeed.diagnostics import chain
from qcfeed.diagnostics.object_numbers import number_of
from qcfeed.diagnostics.references import held, referents
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.wait_rules import address

DEPTH = 3
"""Attributes that are followed from an object that a coroutine holds: ``session.stream.transport``."""
MAX_OBJECTS = 400
"""Objects that are looked at for one task."""
_UVLOOPS = frozenset({("uvloop.loop", "TCPTransport"), ("uvloop.loop", "UnixTransport")})
_TLS = "_SSLProtocolTransport"
"""The transport of a TLS connection, asyncio's and uvloop's."""
# Only Linux has POLLRDHUP. Without it, a connection that the peer has half closed looks open.
_PEER_CLOSED = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class HeldConnectionState(Enum):
    """``PEER_CLOSED``: the peer has closed its end or has vanished with an error (CLOSE_WAIT in TCP).
    ``CLOSED``: the program has closed it, and still holds the object."""

    OPEN = "open"
    PEER_CLOSED = "peer closed"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HeldConnection:
    """A connection that a task holds.

    ``number``: its identity while it lives (object_numbers.py); tasks that hold the same one share it.
    ``peer``: its address, ``127.0.0.1:5555`` or a path; empty if that is not known. ``distance``: how
    many objects lie between the task's coroutine and the connection; 0 for one in a variable.
    """

    number: int | None
    peer: str
    state: HeldConnectionState
    distance: int


def connections(task: AnyTask | None) -> list[HeldConnection]:
    """The connections that a task's coroutines hold, the nearest first. Not: listening sockets.

    It follows DEPTH attributes, MAX_OBJECTS objects, and no large container (references.MAX_ITEMS); it finds
    sockets and the transports of asyncio and uvloop. From any thread; never raises.
    Cost: 20-350 us, and 1 us per connection to ask the kernel for its state.
    """
    try:
        if task is None or task.done():
            return []
        found = {
            id(end): (end, distance) for end, distance in _ends(held(chain.links(task.get_coro())))
        }
        return [each for each in (_describe(*one) for one in found.values()) if each is not None]
    except Exception:  # noqa: BLE001 - classes of the program may raise anything
        return []


def _ends(level: list[Any]) -> Iterator[tuple[Any, int]]:
    """Sockets and uvloop's transports with their distance, by a breadth-first search."""
    seen = set[int]()
    for distance in range(DEPTH + 1):
        following: list[Any] = []
        for thing in level:
            if id(thing) in seen or len(seen) >= MAX_OBJECTS:
                continue
            seen.add(id(thing))
            end = _end_of(thing)
            if end is not None:
                yield end, distance
            else:
                following += referents(thing)
        level = following


def _end_of(thing: Any) -> Any:
    """A socket, the socket of a transport, or a transport of uvloop, which has no socket; else None."""
    kind = type(thing)
    if issubclass(kind, socket.socket) or (kind.__module__, kind.__name__) in _UVLOOPS:
        return thing
    if kind.__name__ == _TLS:
        below = map(_end_below, referents(thing))
        return next((end for end in below if end is not None), None)
    if issubclass(kind, asyncio.BaseTransport):
        return next((x for x in referents(thing) if issubclass(type(x), socket.socket)), None)
    return None


def _end_below(protocol: Any) -> Any:
    """The socket below TLS. Its protocol refers to the transports on both sides of it."""
    if type(protocol).__name__ != "SSLProtocol":
        return None
    below = (each for each in referents(protocol) if type(each).__name__ != _TLS)
    return next((end for each in below if (end := _end_of(each)) is not None), None)


def _describe(end: Any, distance: int) -> HeldConnection | None:
    """None for a socket that is not a connection: it listens, or is not connected yet."""
    if not issubclass(type(end), socket.socket):
        peer, state = _of_uvloop(end)
        return HeldConnection(number_of(end), peer, state, distance)
    # The methods of socket.socket itself: a subclass of the program may have overridden them.
    fd = socket.socket.fileno(end)
    state = _state(fd)
    peer = ""
    if fd >= 0:
        try:
            peer = address(socket.socket.getpeername(end))
        except OSError:  # it listens, is not connected yet, or its peer has reset it
            if state is not HeldConnectionState.PEER_CLOSED or not _is_bound(end):
                return None
    return HeldConnection(number_of(end), peer, state, distance)


def _of_uvloop(transport: Any) -> tuple[str, HeldConnectionState]:
    try:
        fd = transport.get_extra_info("socket").fileno()
        return address(transport.get_extra_info("peername")), _state(fd)
    except Exception:  # noqa: BLE001 - its handle may be closed at any moment
        return "", HeldConnectionState.UNKNOWN


def _is_bound(end: socket.socket) -> bool:
    """Whether a TCP socket has a local port; one that was never connected has none."""
    try:
        name = socket.socket.getsockname(end)
    except OSError:
        return False
    return isinstance(name, tuple) and name[1] != 0


def _state(fd: int) -> HeldConnectionState:
    """Cost: one system call, 1 us."""
    if fd < 0:
        return HeldConnectionState.CLOSED
    try:
        poll = select.poll()
        poll.register(fd, _PEER_CLOSED)
        events = poll.poll(0)
    except (OSError, AttributeError):  # no file descriptor left, or a platform without poll()
        return HeldConnectionState.UNKNOWN
    mask = events[0][1] if events else 0
    if mask & select.POLLNVAL:  # closed since the descriptor was read
        return HeldConnectionState.CLOSED
    return HeldConnectionState.PEER_CLOSED if mask & _PEER_CLOSED else HeldConnectionState.OPEN
