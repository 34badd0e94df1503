"""Runs a script in another process and waits for its report, in a private directory.

The script connects to a Unix socket of this command. If the command has been killed, the script notices and
does nothing. If no report comes in time, the request is withdrawn and the directory removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qcfeed.control.client import errors_by_code
from qcfeed.errors import QcfeedError, TimedOutError
from qcfeed.inject import asking, process, script
from qcfeed.inject.process import TargetProcess

_LONGEST_PLACE = 70
"""Bytes that the path of the temporary directory may have: a socket's path may have 107 (unix(7))."""
_MAX_REPORT = 64 << 20


def run(
    target: TargetProcess, work: str, arguments: dict[str, Any], begin_s: float, work_s: float
) -> dict[str, Any]:
    """Run the function ``work`` of the module ``work`` in the process, and return its result.

    ``begin_s``: seconds until the process must have begun; ``work_s``: seconds that it may take from then on.
    If this raises, the process undoes what it did.

    Raises NotAllowedError and UnreachableError as ``process`` does, and TimedOutError.
    """
    with _room(target) as room, _listener(target, room) as listener:
        file = room / "script.py"
        file.write_text(script.build(str(room), work, arguments, work_s), encoding="utf-8")
        _give(target, file)
        with asking.ask(target, str(file), listener, begin_s) as connection:
            return _report(target, connection, time.monotonic() + work_s)


@contextlib.contextmanager
def _room(target: TargetProcess) -> Iterator[Path]:
    """A directory that only we and the process can enter."""
    usual = tempfile.gettempdir()
    place = usual if len(os.fsencode(usual)) <= _LONGEST_PLACE else "/tmp"  # noqa: S108 - mkdtemp is safe there
    room = Path(tempfile.mkdtemp(prefix="qcfeed-attach-", dir=place))
    try:
        _give(target, room)
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


@contextlib.contextmanager
def _listener(target: TargetProcess, room: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(room / "socket"))
        # To connect, the process needs permission to write to the socket's file (unix(7)).
        _give(target, room / "socket")
        listener.listen(1)
        yield listener


def _give(target: TargetProcess, path: Path) -> None:
    """Root gives the file to the process's user, who could not use it otherwise."""
    if os.geteuid() == 0 and target.uid != 0:
        os.chown(path, target.uid, -1)


def _report(target: TargetProcess, connection: socket.socket, deadline: float) -> dict[str, Any]:
    raw = bytearray()
    try:
        while not raw.endswith(b"\n"):
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            part = connection.recv(1 << 16)
            raw += part
            if not part or len(raw) > _MAX_REPORT:
                raise process.gone(target.pid)
        report = json.loads(raw)
        if "error" not in report:
            # Without this receipt the process undoes what it did: its command may have been killed.
            connection.sendall(b"+")
    except TimeoutError as error:
        raise TimedOutError(
            f"process {target.pid} began, and had not finished in time; it takes back what it did",
            hint="the machine is busy: `qcfeed --timeout 60 ...`",
        ) from error
    except OSError as error:
        raise process.gone(target.pid) from error
    return _result(target, report)


def _result(target: TargetProcess, report: dict[str, Any]) -> dict[str, Any]:
    if "error" in report:
        error = report["error"]
        kind = errors_by_code().get(error["code"], QcfeedError)
        raised = kind(f"process {target.pid}: {error['message']}", hint=error.get("hint"))
        if trace := error.get("trace"):
            raised.add_note(trace)
        raise raised
    return dict(report)
