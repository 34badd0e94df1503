"""Keeps the handles that ``qcfeed detach`` closes, inside a program that was attached from outside.

The injected code imports this module there (injected/attach.py). Its functions run in a thread of their own;
what must run in the loop is scheduled there, between two of the program's callbacks.
"""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from qcfeed import attached
from qcfeed.attached import Attached
from qcfeed.control import paths
from qcfeed.control import server as server  # imports aiohttp, in this thread and not in the loop
from qcfeed.control.audit import AuditLog, Caller
from qcfeed.errors import (
    AlreadyAttachedError,
    NotFoundError,
    QcfeedError,
    StartError,
    TimedOutError,
)

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_PREFIX = "qcfeed"
_DETACH_WITHIN_S = 30.0
_residents: list[Resident] = []
"""What is attached now. A forked child is not attached."""
os.register_at_fork(after_in_child=_residents.clear)


class Resident:
    """One attached loop. ``result``: the answer to the command."""

    def __init__(self, handle: Attached, timer: asyncio.TimerHandle | None) -> None:
        self.handle = handle
        self._timer = timer
        self._loop = handle.loop
        self.result = {
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "instance": handle.instance,
            "socket": str(handle.socket),
            "earlier_tasks": handle.ledger.earlier(),
            "problems": handle.problems,
        }

    def end(self, within: float) -> dict[str, Any]:
        """Detach. Raises TimedOutError if the loop does not run."""
        self.handle.stop_answering()
        if not self._loop.is_closed():
            _in_loop(self._loop, self._close, within)
        else:
            self._close()
        with contextlib.suppress(ValueError):
            _residents.remove(self)
        return {"pid": os.getpid(), "instance": self.handle.instance, "left": _left(self._loop)}

    def undo(self) -> None:
        """Detach, because the command that attached was killed before it got the result."""
        with contextlib.suppress(TimedOutError):
            self.end(_DETACH_WITHIN_S)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.handle.close()


def attach(loop: asyncio.AbstractEventLoop, arguments: dict[str, Any]) -> Any:
    """Attach ``loop``. Returns the Resident, or an error as the command gets it."""
    try:
        return _in_loop(
            loop,
            lambda: _attach(loop, arguments["instance"], arguments["seconds"]),
            arguments["within"],
        )
    except QcfeedError as error:
        return _refusal(error)


def detach(within: float) -> dict[str, Any]:
    """Detach this program, as the command gets it."""
    if not _residents:
        return _refusal(NotFoundError("it is not attached", hint="`qcfeed attach PID` attaches it"))
    try:
        return _residents[-1].end(within)
    except QcfeedError as error:
        return _refusal(error)


def _attach(loop: asyncio.AbstractEventLoop, instance: str, seconds: float | None) -> Resident:
    """Runs in the loop."""
    if (earlier := attached.handle_of(loop)) is not None:
        name = earlier.instance
        raise AlreadyAttachedError(
            f"it is attached already, as {name}",
            hint=f"`qcfeed --instance {name} status` asks it, `qcfeed detach {os.getpid()}` ends it",
        )
    # ``attach`` must not stop a program, so it only records its problems. The command needs an error.
    handle = attached.attach(instance)
    if handle.socket is None:
        handle.close()
        raise StartError("; ".join(handle.problems), hint="nothing was left there")
    timer = None
    if seconds is not None:
        # In a thread, because detaching waits for the control plane, and must not block the loop.
        timer = loop.call_later(seconds, lambda: _thread.start_new_thread(_end_on_time, (handle,)))
    _residents.append(resident := Resident(handle, timer))
    return resident


def _end_on_time(handle: Attached) -> None:
    """Detach after the time of ``attach --for``. Runs in a thread of its own; the audit log records it."""
    for resident in _residents:
        if resident.handle is not handle:
            continue
        entry, audit = None, AuditLog(paths.audit_path(handle.instance))
        with contextlib.suppress(QcfeedError):  # it must end, recorded or not
            entry = audit.intend("detach", Caller("attach --for"), {"pid": os.getpid()})
        try:
            ended = resident.end(_DETACH_WITHIN_S)
        except QcfeedError as error:
            log.warning("detaching after the time of `attach --for` failed: %s", error.message)
            if entry is not None:
                audit.conclude(entry, "failed", error=error.message)
        else:
            if entry is not None:
                audit.conclude(entry, "done", answer=ended)


def _in_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[[], Result], within: float
) -> Result:
    """Run ``function`` in the loop's thread. Raises TimedOutError if the loop has not begun it in time; then
    it is never run."""
    outcome: concurrent.futures.Future[Result] = concurrent.futures.Future()

    def call() -> None:
        # From here on it cannot be cancelled: it runs to its end, or it was cancelled and never runs.
        if outcome.set_running_or_notify_cancel():
            try:
                outcome.set_result(function())
            except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
                outcome.set_exception(error)

    loop.call_soon_threadsafe(call)
    try:
        return outcome.result(within)
    except concurrent.futures.TimeoutError:
        if outcome.cancel():
            raise TimedOutError(
                f"its event loop did not run for {within:g} s; nothing was changed",
                hint=f"`py-spy dump --pid {os.getpid()}` shows where it is stuck",
            ) from None
        return outcome.result()  # it has just begun: wait for its end


def _left(loop: asyncio.AbstractEventLoop) -> list[str]:
    """What is still there after detaching, and why."""
    left = [
        f"thread {each.name}" for each in threading.enumerate() if each.name.startswith(_PREFIX)
    ]
    if not loop.is_closed():
        for what, hook in (
            ("task factory", loop.get_task_factory()),
            ("exception handler", loop.get_exception_handler()),
        ):
            if str(getattr(hook, "__module__", "")).partition(".")[0] == _PREFIX:
                left.append(f"{what} {getattr(hook, '__qualname__', hook)}")
    return left


def _refusal(error: QcfeedError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
