"""What functions of asyncio, uvloop and WebSocket libraries wait on: the rules that waits.py uses.

A rule is found by the function's qualified name and the end of its file name, so no library is
imported to recognise it. None of these functions awaits code of the program. So the outermost
function with a rule is what the task waits on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from qcfeed.diagnostics.chain import cell, code, held
from qcfeed.diagnostics.site import AnyTask
from qcfeed.diagnostics.task_info import info_of

Detail = Callable[[Any, AnyTask], str]
"""Describes a wait in more detail. It may raise; then the detail is left out."""


class Rule(NamedTuple):
    """``files``: possible ends of the file name. ``kind``: what the function waits on, in a word."""

    files: tuple[str, ...]
    kind: str
    detail: Detail


def rule_of(link: Any) -> Rule | None:
    """The rule for a link of an await chain, if there is one."""
    rule = RULES.get(link.__qualname__)
    if rule is not None and (known := code(link)) and known.co_filename.endswith(rule.files):
        return rule
    return None


def of_future(waiter: Any) -> tuple[str, str]:
    """Kind and detail of a wait, from the awaited future, if no function of the chain has a rule."""
    if isinstance(waiter, asyncio.Task):
        return "task", describe(waiter)
    children = getattr(waiter, "_children", None)
    if children is not None:
        return "gather", pending(children)
    for callback, *_ in getattr(waiter, "_callbacks", None) or ():
        known = getattr(callback, "__qualname__", "")
        if known == "shield.<locals>._outer_done_callback":
            return "shield", describe(cell(callback, "inner"))
        if known == "_chain_future.<locals>._call_check_cancel":
            return "executor", _progress(cell(callback, "source"))
    return "future", ""


def describe(future: Any) -> str:
    """A task's name, and its serial number if a ledger recorded it: ``Task-5, serial 12``."""
    if not isinstance(future, asyncio.Task):
        return "a future"
    known = serial(future)
    return name(future) if known is None else f"{name(future)}, serial {known}"


def name(task: AnyTask) -> str:
    """A task's name; ``?`` if that raises."""
    try:
        return str(task.get_name())
    except Exception:  # noqa: BLE001 - a task class of the program may raise anything
        return "?"


def serial(task: AnyTask) -> int | None:
    """A task's serial number if a ledger recorded it; with two ledgers, either one's."""
    known = info_of(task)
    return None if known is None else known.serial


def pending(futures: Iterable[Any]) -> str:
    """``2 of 5 pending``."""
    states = [future.done() for future in tuple(futures)]
    return f"{states.count(False)} of {len(states)} pending"


def left(handle: Any, task: AnyTask) -> float:
    """Seconds until a timer, or any object with ``when()``, is due."""
    loop = task.get_loop()
    # uvloop's time() updates the loop's cached time, which another thread must not do. uvloop uses the
    # monotonic clock.
    ours = type(loop).__module__.startswith("uvloop")
    now = time.monotonic() if ours else loop.time()
    return max(0.0, float(handle.when()) - now)


def seconds(number: float) -> str:
    """``3.2 s``, ``13,620 s``."""
    return f"{number:.1f} s" if number < 100 else f"{number:,.0f} s"


def timer(link: Any) -> Any:
    """The timer that a link holds, asyncio's or uvloop's; None if it has none."""
    for thing in held(link):
        if type(thing).__name__ == "cell":  # a variable that an inner function also uses
            thing = thing.cell_contents
        if type(thing).__name__ == "TimerHandle":
            return thing
    return None


def first(link: Any, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    """The first object of a type that a link holds. Raises LookupError if there is none."""
    for thing in held(link):
        if isinstance(thing, kind):
            return thing
    raise LookupError(kind)


def _progress(future: Any) -> str:
    if not isinstance(future, concurrent.futures.Future):
        return ""
    return "running" if future.running() else "ended" if future.done() else "queued"


def _nothing(_link: Any, _task: AnyTask) -> str:
    return ""


def _sleep(link: Any, task: AnyTask) -> str:
    return seconds(left(timer(link), task))


def _queue(link: Any, _: AnyTask) -> str:
    queue = first(link, asyncio.Queue)
    return f"{queue.qsize()} of {queue.maxsize}" if queue.maxsize > 0 else f"{queue.qsize()} queued"


def _join(link: Any, _: AnyTask) -> str:
    return f"{first(link, asyncio.Queue)._unfinished_tasks} unfinished"  # noqa: SLF001


def _waiters(link: Any, _: AnyTask) -> str:
    number = len(first(link, _LOCKS)._waiters or ())  # noqa: SLF001
    return f"{number} waiting"


_LOCKS = (asyncio.Event, asyncio.Lock, asyncio.Semaphore, asyncio.Condition)


def _barrier(link: Any, _: AnyTask) -> str:
    barrier = first(link, asyncio.Barrier)
    return f"{barrier.n_waiting} of {barrier.parties} waiting"


def _group(link: Any, _: AnyTask) -> str:
    return f"{len(first(link, asyncio.TaskGroup)._tasks)} pending"  # noqa: SLF001


def _futures(link: Any, _: AnyTask) -> str:
    return pending(first(link, (set, frozenset, list, tuple)))


def _transport(link: Any, _: AnyTask) -> str:
    stream = first(link, (asyncio.StreamReader, asyncio.StreamWriter))
    return _far_end(stream._transport)  # noqa: SLF001


def _connection(link: Any, _: AnyTask) -> str:
    """The peer of a WebSocket. The class of the connection is in the function's qualified name."""
    owner = link.__qualname__.rpartition(".")[0]
    for thing in held(link):
        if any(base.__name__ == owner for base in type(thing).__mro__):
            if hasattr(thing, "remote_address"):
                return address(thing.remote_address)
            return _far_end(thing)
    return ""


def _far_end(transport: Any) -> str:
    for name in ("peername", "sockname"):
        known = transport.get_extra_info(name)
        if known:
            return address(known)
    return ""


def _peer(link: Any, _: AnyTask) -> str:
    sock = first(link, socket.socket)
    return address(sock.getpeername()) or address(sock.getsockname())


def _listening(link: Any, _: AnyTask) -> str:
    return address(first(link, socket.socket).getsockname())


def _target(link: Any, _: AnyTask) -> str:
    return address(first(link, tuple))


def address(known: Any) -> str:
    """A socket's address: ``127.0.0.1:5555``, ``[::1]:5555`` or a path; empty if it has none."""
    if isinstance(known, tuple):
        host, port = known[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return known.decode(errors="replace") if isinstance(known, bytes) else str(known or "")


_TASKS = ("asyncio/tasks.py",)
_SYNC = ("asyncio/locks.py",)
_QUEUES = ("asyncio/queues.py",)
_STREAMS = ("asyncio/streams.py",)
_ON_SOCKETS = ("asyncio/selector_events.py", "uvloop/loop.pyx")
_SERVERS = ("asyncio/base_events.py", "uvloop/server.pyx")

RULES: dict[str, Rule] = {
    "sleep": Rule(_TASKS, "sleeping", _sleep),
    "_wait": Rule(_TASKS, "wait", _futures),
    "as_completed.<locals>._wait_for_one": Rule(_TASKS, "as_completed", _nothing),
    "_AsCompletedIterator._wait_for_one": Rule(_TASKS, "as_completed", _nothing),
    "TaskGroup.__aexit__": Rule(("asyncio/taskgroups.py",), "TaskGroup", _group),
    "Queue.get": Rule(_QUEUES, "Queue.get", _queue),
    "Queue.put": Rule(_QUEUES, "Queue.put", _queue),
    "Queue.join": Rule(_QUEUES, "Queue.join", _join),
    "Event.wait": Rule(_SYNC, "Event.wait", _waiters),
    "Lock.acquire": Rule(_SYNC, "Lock.acquire", _waiters),
    "Semaphore.acquire": Rule(_SYNC, "Semaphore.acquire", _waiters),
    "Condition.wait": Rule(_SYNC, "Condition.wait", _waiters),
    "Barrier.wait": Rule(_SYNC, "Barrier.wait", _barrier),
    "StreamReader._wait_for_data": Rule(_STREAMS, "socket read", _transport),
    "StreamWriter.drain": Rule(_STREAMS, "socket write", _transport),
    "StreamWriter.wait_closed": Rule(_STREAMS, "socket close", _transport),
    "Server.serve_forever": Rule(_SERVERS, "serving", _nothing),
    "BaseEventLoop.getaddrinfo": Rule(("asyncio/base_events.py",), "name lookup", _nothing),
    "Loop.getaddrinfo": Rule(("uvloop/loop.pyx",), "name lookup", _nothing),
    "Loop.create_connection": Rule(("uvloop/loop.pyx",), "socket connect", _nothing),
    "WebSocketResponse.receive": Rule(("aiohttp/web_ws.py",), "WebSocket receive", _connection),
    "ClientWebSocketResponse.receive": Rule(
        ("aiohttp/client_ws.py",), "WebSocket receive", _connection
    ),
    "Connection.recv": Rule(
        ("websockets/asyncio/connection.py",), "WebSocket receive", _connection
    ),
    "WebSocketCommonProtocol.recv": Rule(
        ("websockets/legacy/protocol.py",), "WebSocket receive", _connection
    ),
} | {
    f"{loop}.{method}": Rule(_ON_SOCKETS, kind, detail)
    for loop in ("BaseSelectorEventLoop", "Loop")
    for method, kind, detail in (
        ("sock_recv", "socket read", _peer),
        ("sock_recv_into", "socket read", _peer),
        ("sock_recvfrom", "socket read", _peer),
        ("sock_recvfrom_into", "socket read", _peer),
        ("sock_sendall", "socket write", _peer),
        ("sock_sendto", "socket write", _peer),
        ("sock_connect", "socket connect", _target),
        ("sock_accept", "socket accept", _listening),
    )
}
