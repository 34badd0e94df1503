"""The control plane from both sides: requests to it, and answers that a command gets."""

from __future__ import annotations

import functools
import socket
import threading
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec

from qcfeed.control.client import ControlClient
from qcfeed.control.dispatch import refused
from qcfeed.control.handlers.tasks import task_reads
from qcfeed.control.paths import ControlAddress
from qcfeed.control.routes import TASKS_SNAPSHOT
from qcfeed.control.saved_tasks import SavedTasks
from qcfeed.errors import QcfeedError
from qcfeed.model.saved_tasks import SavedSnapshot
from tests.fuzz.target import directory
from tests.support.patience import PATIENCE

SNAPSHOT = Path(__file__).with_name("snapshot.json").read_bytes()
"""What `tasks --save` wrote of a program with a few tasks."""


@functools.cache
def _saved() -> SavedTasks:
    return SavedTasks(msgspec.json.decode(SNAPSHOT, type=SavedSnapshot))


def request(raw: bytes) -> None:
    """A read's path and query, answered from a saved snapshot."""
    path, _, query = raw.decode("latin-1").partition("?")
    for route in task_reads(_saved()):
        if route.path.endswith(path):
            try:
                asked = msgspec.convert(dict(parse_qsl(query)), route.query, strict=False)
                msgspec.json.encode(route.handle(asked))
            except QcfeedError as error:
                refused(error)


def answer(raw: bytes) -> None:
    """What a command makes of an answer: all that is sent until the connection ends."""
    path = directory() / "socket"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = threading.Thread(target=_serve, args=(listener, raw))
        server.start()
        try:
            ControlClient(ControlAddress(socket=path), timeout=PATIENCE).get(
                TASKS_SNAPSHOT, SavedSnapshot
            )
        finally:
            server.join()


def _serve(listener: socket.socket, raw: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        try:
            connection.sendall(raw)
        except OSError:  # the client has seen enough
            return
