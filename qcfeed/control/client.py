"""Asking a control plane: synchronous, cheap to import, and never longer than its timeout."""

from __future__ import annotations

import contextlib
import errno
import http.client
import socket
import time
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from qcfeed.control import auth
from qcfeed.control.answers import Answer, Failure
from qcfeed.control.paths import Address
from qcfeed.errors import (
    NotAllowedError,
    QcfeedError,
    TimedOutError,
    UnreachableError,
)

ANSWER_BYTES = 64 * 1024 * 1024
"""More than any answer has; whoever sends more is not a control plane."""

_BACKLOG_PAUSE = 0.02

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)


class ServiceBugError(QcfeedError):
    """The service met an error of its own while it answered; its log has the traceback."""

    code = "bug"


class ControlClient:
    """One control plane, asked over one connection a request.

    ``timeout`` is in seconds and holds for a whole request, however slowly the other end drips.

    Every request raises UnreachableError, NotAllowedError, TimedOutError, or what the service
    refused it with: the error of the Failure's code, its message and hint, and as notes
    (``__notes__``) the stack of a stuck loop.
    """

    def __init__(self, address: Address, *, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self._asking: _Connection | None = None
        self._aborted = False

    def abort(self) -> None:
        """From another thread: the request under way fails at once, and so does every later one.

        They raise UnreachableError. An action that the service has begun goes on there.
        """
        self._aborted = True
        if (asking := self._asking) is not None:
            asking.abort()

    def get(self, path: str, answer_type: type[AnyAnswer], **params: Any) -> AnyAnswer:
        """A read's answer; parameters that are None are left out."""
        return self.decode(self.fetch(path, **params), answer_type)

    def post(self, path: str, body: msgspec.Struct, answer_type: type[AnyAnswer]) -> AnyAnswer:
        """An action's answer."""
        return self.decode(self.send(path, body), answer_type)

    def fetch(self, path: str, **params: Any) -> bytes:
        """A read's answer, the JSON as it came."""
        given = {key: value for key, value in params.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def send(self, path: str, body: msgspec.Struct) -> bytes:
        """An action's answer, the JSON as it came."""
        return self._ask("POST", path, msgspec.json.encode(body))

    def decode(self, raw: bytes, answer_type: type[AnyAnswer]) -> AnyAnswer:
        """The answer in ``raw``. Raises UnreachableError when it is another one."""
        try:
            return msgspec.json.decode(raw, type=answer_type)
        except msgspec.MsgspecError as error:
            raise UnreachableError(
                f"{self.address} answers in a way that this qcfeed does not know: {error}",
                hint="is it a qcfeed service of the same version? `qcfeed --version`",
            ) from error

    def _ask(self, method: str, target: str, body: bytes | None) -> bytes:
        connection = self._asking = _Connection(self.address, time.monotonic() + self.timeout)
        headers = {"Connection": "close", "Content-Type": "application/json"}
        if self.address.token is not None:
            headers["Authorization"] = f"Bearer {self.address.token}"
        try:
            if self._aborted:
                raise ConnectionAbortedError(errno.ECONNABORTED, "aborted")
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES + 1)
            status = response.status
        except TimeoutError as error:
            aborted = ConnectionAbortedError(errno.ECONNABORTED, "aborted")
            raise (self._unreachable(aborted) if self._aborted else self._timed_out()) from error
        except OSError as error:
            raise self._unreachable(error) from error
        except http.client.HTTPException as error:
            raise self._stranger(f"{type(error).__name__} {error}".strip()) from error
        finally:
            self._asking = None
            connection.close()
        if len(raw) > ANSWER_BYTES:
            raise self._stranger(f"an answer of over {ANSWER_BYTES} bytes")
        if status != http.client.OK:
            raise self._refusal(status, raw)
        return raw

    def _timed_out(self) -> TimedOutError:
        return TimedOutError(
            f"{self.address} did not answer within {self.timeout:g} s",
            hint="is its process stopped or starved? `ps` tells; --timeout gives it longer",
        )

    def _unreachable(self, error: OSError) -> QcfeedError:
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            return NotAllowedError(
                f"{self.address} may not be asked: {reason}",
                hint="run as the service's user or as root",
            )
        look = f"; `ls {self.address.socket.parent}`" if self.address.socket else ""
        return UnreachableError(
            f"cannot reach the service at {self.address}: {reason}",
            hint=f"is it running? `qcfeed serve` starts one{look}",
        )

    def _stranger(self, what: str) -> UnreachableError:
        return UnreachableError(
            f"{self.address} does not answer as a control plane: {what}",
            hint="is it another program's? `qcfeed serve` prints where its control plane is",
        )

    def _refusal(self, status: int, raw: bytes) -> QcfeedError:
        try:
            failure = msgspec.json.decode(raw, type=Failure)
        except msgspec.MsgspecError:
            return self._stranger(f"HTTP status {status}")
        error = _errors().get(failure.code, ServiceBugError)(failure.message, hint=failure.hint)
        for line in failure.stack:
            error.add_note(line)
        return error


def _errors(root: type[QcfeedError] = QcfeedError) -> dict[str, type[QcfeedError]]:
    """Every error by its code."""
    found = {root.code: root}
    for kind in root.__subclasses__():
        found |= _errors(kind)
    return found


class _Connection(http.client.HTTPConnection):
    """HTTP to an address, with one deadline for everything."""

    def __init__(self, address: Address, deadline: float) -> None:
        super().__init__("localhost" if address.socket else address.host, address.port or None)
        self._address = address
        self._deadline = deadline

    def abort(self) -> None:
        """Whoever reads from it gets an end, whoever connects a timeout."""
        self._deadline = 0.0
        if not isinstance(sock := self.sock, _DeadlineSocket):
            return
        sock.deadline = 0.0
        with contextlib.suppress(OSError):  # not connected yet, or closed already
            sock.shutdown(socket.SHUT_RDWR)

    def connect(self) -> None:
        path = self._address.socket
        host = "127.0.0.1" if self._address.host == "localhost" else self._address.host
        inet = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = _DeadlineSocket(socket.AF_UNIX if path else inet, socket.SOCK_STREAM)
        self.sock.deadline = self._deadline
        self.sock.connect(str(path) if path else (host, self._address.port))
        if path:
            auth.check_server(auth.peer(self.sock), path)


class _DeadlineSocket(socket.socket):
    """A socket whose timeouts add up: a peer that drips bytes gains nothing by it."""

    deadline: float

    def connect(self, address: Any) -> None:
        while True:
            self._hurry()
            try:
                return super().connect(address)
            except BlockingIOError:  # a Unix socket's backlog is full: nobody accepts just now
                time.sleep(_BACKLOG_PAUSE)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._hurry()
        super().sendall(data, flags)

    def recv_into(self, *args: Any, **kw: Any) -> int:
        self._hurry()
        return super().recv_into(*args, **kw)

    def _hurry(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)
