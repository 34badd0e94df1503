"""Starts the work that was sent, in a thread of its own, and reports its result over a Unix socket.

The interpreter calls ``begin`` between any two instructions of one of the program's threads, perhaps while
that holds a lock. So ``begin`` only starts a thread, with ``_thread`` because ``threading`` takes a lock.
"""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False  # the main thread of the program waits while this is imported
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any, Protocol

    class UndoableResult(Protocol):
        """A result that the command must confirm. If it does not, ``undo`` is called."""

        result: Arguments

        def undo(self) -> None: ...

    Arguments = dict[str, Any]
    Here = tuple[int, Any] | None
    Work = Callable[[Here, Arguments], Arguments | UndoableResult]
    """Takes the thread that ran the script with its running loop, or None; and the arguments."""

CONNECT_TIMEOUT_S = 2.0
_MAX_TRACE = 4_000


def begin(directory: str, load: Callable[[], Work], arguments: Arguments, answer_s: float) -> None:
    """Start the function that ``load`` returns. ``directory``: where the command listens. ``answer_s``:
    seconds within which the command must confirm the result."""
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001
    here = None if loop is None else (_thread.get_ident(), loop)
    _thread.start_new_thread(_run, (directory, load, here, arguments, answer_s))


def _run(
    directory: str, load: Callable[[], Work], here: Here, arguments: Arguments, answer_s: float
) -> None:
    import contextlib
    import socket

    with contextlib.suppress(Exception), socket.socket(socket.AF_UNIX) as command:
        command.settimeout(CONNECT_TIMEOUT_S)
        try:
            command.connect(f"{directory}/socket")
        except OSError:
            _remove(directory)  # the command was killed: nobody waits, so nothing is done
            return
        result = _result_of(load, here, arguments)
        kept = None if isinstance(result, dict) else result
        if not _is_confirmed(command, result if kept is None else kept.result, answer_s):
            _remove(directory)  # the command was killed meanwhile, or has given up
            if kept is not None:
                kept.undo()


def _result_of(load: Callable[[], Work], here: Here, arguments: Arguments) -> Any:
    if "asyncio" not in sys.modules:  # the work would import it, and leave it in the program
        message, hint = "it does not use asyncio", "`py-spy dump --pid` shows what it does"
        return {"error": {"code": "no_running_loop", "message": message, "hint": hint}}
    try:
        return load()(here, arguments)
    except BaseException as error:  # noqa: BLE001 - nothing may be raised into the program
        import traceback

        trace = "".join(traceback.format_exception(error))[-_MAX_TRACE:]
        return {
            "error": {"code": "bug", "message": f"{type(error).__name__}: {error}", "trace": trace}
        }


def _is_confirmed(command: socket.socket, result: Arguments, answer_s: float) -> bool:
    """Send the result; returns whether the command has confirmed it."""
    import json

    command.settimeout(answer_s)
    try:
        command.sendall(json.dumps(result).encode() + b"\n")
        return command.recv(1) == b"+"
    except OSError:
        return False


def _remove(directory: str) -> None:
    import contextlib
    import os

    for name in ("script.py", "socket"):
        with contextlib.suppress(OSError):
            os.unlink(f"{directory}/{name}")  # noqa: PTH108
    with contextlib.suppress(OSError):
        os.rmdir(directory)  # noqa: PTH106
