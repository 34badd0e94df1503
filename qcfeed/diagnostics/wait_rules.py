"""What functions of asyncio, uvloop and WebSocket libraries wait on: the rules that waits.py uses.

A rule is found by the function's qualified name and the end of its file name, so no library is
imported to recognise it. None of these functions awaits code of the program. So the outermost
function with a rule is what the task waits on.
"""

# ruff: noqa: SLF001 - asyncio's classes do not expose who waits for them.

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


Find = Callable[[Any], Any]
"""Finds the object that a link waits for. It may raise; then the object is not known."""


class Rule(NamedTuple):
    """What a known function waits on. ``files``: possible ends of its file name. ``kind``: in a word or two.

    ``find``: finds the object that a link waits for; without it, no object is known.
    """

    files: tuple[str, ...]
    kind: str
    detail: Detail
    find: Find | None = None


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
    awaited = behind(waiter)
    if isinstance(awaited, concurrent.futures.Future):
        return "executor", _progress(awaited)
    return ("future", "") if awaited is waiter else ("shield", describe(awaited))


def behind(waiter: Any) -> Any:
    """The future that completes an awaited one: the shielded future, or the one of an executor's call;
    the awaited one itself if there is none."""
    for callback, *_ in getattr(waiter, "_callbacks", None) or ():
        known = getattr(callback, "__qualname__", "")
        if known == "shield.<locals>._outer_done_callback":
            return cell(callback, "inner")
        if known == "_chain_future.<locals>._call_check_cancel":
            return cell(callback, "source")
    return waiter


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


def serial(task: AnyTask, ledger: object = None) -> int | None:
    """A task's serial number if ``ledger`` recorded it; None: any ledger."""
    known = info_of(task, ledger)
    return None if known is None else known.serial


def pending(futures: Iterable[Any]) -> str:
    """``2 of 5 pending``."""
    states = [future.done() for future in tuple(futures)]
    return f"{states.count(False)} of {len(states)} pending"


def left(handle: Any, task: AnyTask) -> float:
    """Seconds until a timer, or any object with ``when()``, is due."""
    loop = task.get_loop()
    # uvloop's time() changes the loop's cached time, so only the loop's own thread may call it. Its
    # timers use the monotonic clock.
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
        # Not isinstance(), which asks an object for its __class__: a proxy then runs the program's code.
        if issubclass(type(thing), kind):
            return thing
    raise LookupError(kind)


def _progress(future: concurrent.futures.Future[Any]) -> str:
    return "running" if future.running() else "ended" if future.done() else "queued"


def _nothing(_link: Any, _task: AnyTask) -> str:
    return ""


def _sleep(link: Any, task: AnyTask) -> str:
    return seconds(left(timer(link), task))


def _a(kind: type[Any] | tuple[type[Any], ...]) -> Find:
    """Finds the first object of this type."""
    return lambda link: first(link, kind)


_a_queue = _a(asyncio.Queue)
_a_lock = _a((asyncio.Event, asyncio.Lock, asyncio.Semaphore, asyncio.Condition))
_a_barrier = _a(asyncio.Barrier)
_a_group = _a(asyncio.TaskGroup)
_a_socket = _a(socket.socket)
_futures = _a((set, frozenset, list, tuple))


def _queue(link: Any, _: AnyTask) -> str:
    queue = _a_queue(link)
    return f"{queue.qsize()} of {queue.maxsize}" if queue.maxsize > 0 else f"{queue.qsize()} queued"


def _join(link: Any, _: AnyTask) -> str:
    return f"{_a_queue(link)._unfinished_tasks} unfinished"


def _waiters(link: Any, _: AnyTask) -> str:
    return f"{len(_a_lock(link)._waiters or ())} waiting"


def _waiting_parties(link: Any, _: AnyTask) -> str:
    barrier = _a_barrier(link)
    return f"{barrier.n_waiting} of {barrier.parties} waiting"


def _pending_in_group(link: Any, _: AnyTask) -> str:
    return f"{len(_a_group(link)._tasks)} pending"


def _pending_futures(link: Any, _: AnyTask) -> str:
    return pending(_futures(link))


def _transport(link: Any) -> Any:
    return first(link, (asyncio.StreamReader, asyncio.StreamWriter))._transport


def _far_end_of_stream(link: Any, _: AnyTask) -> str:
    return _far_end(_transport(link))


def _connection(link: Any) -> Any:
    """A WebSocket connection. Its class is in the function's qualified name."""
    owner = link.__qualname__.rpartition(".")[0]
    for thing in held(link):
        if any(base.__name__ == owner for base in type(thing).__mro__):
            return thing
    raise LookupError(owner)


def _far_end_of_connection(link: Any, _: AnyTask) -> str:
    connection = _connection(link)
    if hasattr(connection, "remote_address"):
        return address(connection.remote_address)
    return _far_end(connection)


def _far_end(transport: Any) -> str:
    for name in ("peername", "sockname"):
        known = transport.get_extra_info(name)
        if known:
            return address(known)
    return ""


def _peer(link: Any, _: AnyTask) -> str:
    sock = _a_socket(link)
    return address(sock.getpeername()) or address(sock.getsockname())


def _listening(link: Any, _: AnyTask) -> str:
    return address(_a_socket(link).getsockname())


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
    "sleep": Rule(_TASKS, "sleeping", _sleep, timer),
    "_wait": Rule(_TASKS, "wait", _pending_futures, _futures),
    "as_completed.<locals>._wait_for_one": Rule(_TASKS, "as_completed", _nothing),
    "_AsCompletedIterator._wait_for_one": Rule(_TASKS, "as_completed", _nothing),
    "TaskGroup.__aexit__": Rule(
        ("asyncio/taskgroups.py",), "TaskGroup", _pending_in_group, _a_group
    ),
    "Queue.get": Rule(_QUEUES, "Queue.get", _queue, _a_queue),
    "Queue.put": Rule(_QUEUES, "Queue.put", _queue, _a_queue),
    "Queue.join": Rule(_QUEUES, "Queue.join", _join, _a_queue),
    "Event.wait": Rule(_SYNC, "Event.wait", _waiters, _a_lock),
    "Lock.acquire": Rule(_SYNC, "Lock.acquire", _waiters, _a_lock),
    "Semaphore.acquire": Rule(_SYNC, "Semaphore.acquire", _waiters, _a_lock),
    "Condition.wait": Rule(_SYNC, "Condition.wait", _waiters, _a_lock),
    "Barrier.wait": Rule(_SYNC, "Barrier.wait", _waiting_parties, _a_barrier),
    "StreamReader._wait_for_data": Rule(_STREAMS, "socket read", _far_end_of_stream, _transport),
    "StreamWriter.drain": Rule(_STREAMS, "socket write", _far_end_of_stream, _transport),
    "StreamWriter.wait_closed": Rule(_STREAMS, "socket close", _far_end_of_stream, _transport),
    "Server.serve_forever": Rule(_SERVERS, "serving", _nothing),
    "BaseEventLoop.getaddrinfo": Rule(("asyncio/base_events.py",), "name lookup", _nothing),
    "Loop.getaddrinfo": Rule(("uvloop/loop.pyx",), "name lookup", _nothing),
    "Loop.create_connection": Rule(("uvloop/loop.pyx",), "socket connect", _nothing),
    "WebSocketResponse.receive": Rule(
        ("aiohttp/web_ws.py",), "WebSocket receive", _far_end_of_connection, _connection
    ),
    "ClientWebSocketResponse.receive": Rule(
        ("aiohttp/client_ws.py",), "WebSocket receive", _far_end_of_connection, _connection
    ),
    "Connection.recv": Rule(
        ("websockets/asyncio/connection.py",),
        "WebSocket receive",
        _far_end_of_connection,
        _connection,
    ),
    "WebSocketCommonProtocol.recv": Rule(
        ("websockets/legacy/protocol.py",), "WebSocket receive", _far_end_of_connection, _connection
    ),
} | {
    f"{loop}.{method}": Rule(_ON_SOCKETS, kind, detail, _a_socket)
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
