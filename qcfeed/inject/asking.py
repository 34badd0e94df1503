"""Asks a process to run a script, and waits until the script connects to us.

The main thread is asked first. If it does not run the script in time (it may wait for another thread), the
request is withdrawn and the next thread is asked: an event loop may run in any of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from qcfeed.control import peers
from qcfeed.errors import NotAllowedError, QcfeedError, TimedOutError, UnreachableError
from qcfeed.inject import process, runtime, tracing
from qcfeed.inject.process import TargetProcess

NUDGE_S = 0.25
"""Seconds after which a thread is woken again: it may have begun to wait just after it was last woken."""
LATE_S = 0.1
"""Seconds in which a script may still connect that had begun just before it was withdrawn."""
MOST_OTHERS = 8
"""Threads besides the main thread that are asked."""
_EMPTY = os.devnull
"""A script that does nothing, and takes the place of one that is withdrawn."""


def ask(
    target: TargetProcess, script: str, listener: socket.socket, within: float
) -> socket.socket:
    """Have the process run the file ``script``, and return its connection to ``listener``.

    Raises UnreachableError, NotAllowedError, and TimedOutError after ``within`` seconds; then the script is
    not run any more.
    """
    _request(target, script, target.pid)
    others = target.runtime.threads()[1 : 1 + MOST_OTHERS]
    connection = _answer(target, listener, target.pid, within / 2 if others else within)
    for thread in others:
        if connection is None:
            with contextlib.suppress(QcfeedError):  # the thread has ended
                _request(target, script, thread)
                connection = _answer(target, listener, thread, within / 2 / len(others))
    if connection is None:
        raise TimedOutError(
            f"process {target.pid} did not run the script within {within:g} s, and no longer will: its"
            " threads are in long calls, or wait for events in compiled code (uvloop without traffic)",
            hint="send it a request while you try again, or `qcfeed --timeout 60 ...`;"
            f" `py-spy dump --pid {target.pid}` shows where it is",
        )
    return connection


def _answer(
    target: TargetProcess, listener: socket.socket, thread: int, within: float
) -> socket.socket | None:
    """The script's connection; None if the thread has not run it in time. Then it is withdrawn."""
    deadline = time.monotonic() + within
    while (left := deadline - time.monotonic()) > 0:
        if (connection := _accepted(target, listener, min(left, NUDGE_S))) is not None:
            return connection
        _wake(target, thread)
    _withdraw(target, thread)
    return _accepted(target, listener, LATE_S)


def _accepted(
    target: TargetProcess, listener: socket.socket, within: float
) -> socket.socket | None:
    listener.settimeout(within)
    with contextlib.suppress(TimeoutError):
        connection, _ = listener.accept()
        # The directory is private, but other processes of the same user can enter it, too.
        if peers.peer(connection).pid == target.pid:
            return connection
        connection.close()
    return None


def _wake(target: TargetProcess, thread: int) -> None:
    try:
        with contextlib.suppress(PermissionError):  # somebody else has begun to trace it
            tracing.wake(thread)
    except ProcessLookupError as error:
        raise process.gone(target.pid) from error
    except TimeoutError as error:
        _withdraw(target, thread)
        # This command must end now: a thread that stops late stands still until its tracer ends.
        raise _does_not_react(target) from error


def _withdraw(target: TargetProcess, thread: int) -> None:
    """Replace the script of a pending request by an empty one."""
    with contextlib.suppress(QcfeedError, runtime.UnknownLayoutError, OSError):
        try:
            with tracing.stopped(thread):
                target.runtime.request(_EMPTY, thread)
        except (TimeoutError, PermissionError):
            # It cannot be stopped now, so this is written while it runs.
            target.runtime.request(_EMPTY, thread)


def _does_not_react(target: TargetProcess) -> UnreachableError:
    return UnreachableError(
        f"process {target.pid} does not react: a thread of it waits in the kernel, for a disk or a network"
        " file system",
        hint=f"`cat /proc/{target.pid}/stack` as root shows where; try again later",
    )


def _request(target: TargetProcess, script: str, thread: int) -> None:
    try:
        with tracing.stopped(thread):
            target.runtime.request(script, thread)
    except ProcessLookupError as error:
        raise process.gone(target.pid) from error
    except PermissionError as error:
        raise process.not_permitted(target.pid) from error
    except TimeoutError as error:
        raise _does_not_react(target) from error
    except runtime.DisabledError as error:
        raise NotAllowedError(
            f"process {target.pid} was started with remote debugging switched off"
            " (PYTHON_DISABLE_REMOTE_DEBUG, -X disable-remote-debug, or a Python built without it)",
            hint="start it without that, or with `qcfeed.attach(...)` in the program;"
            f" `py-spy dump --pid {target.pid}` shows its stacks now",
        ) from error
    except runtime.UnknownLayoutError as error:
        raise UnreachableError(
            f"process {target.pid} cannot be asked to run anything: {error}",
            hint="nothing was changed; try again, or call `qcfeed.attach(...)` in the program",
        ) from error
