"""A synchronous client for the control plane: quick to import, and never slower than its timeout."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from qcfeed.control import elsewhere, paths, peers
from qcfeed.control.connection import OK, ControlConnection, ImpostorError, NotHttpError
from qcfeed.control.directories import SUFFIX
from qcfeed.control.paths import ControlAddress
from qcfeed.errors import (
    NotAllowedError,
    QcfeedError,
    TimedOutError,
    UnreachableError,
)
from qcfeed.model.answer import Answer, ErrorAnswer
from qcfeed.model.json_errors import JSON_ERRORS

ANSWER_BYTES = 64 * 1024 * 1024
"""More bytes than any answer has. Whatever sends more is not a control plane."""

_BACKLOG_PAUSE = 0.02

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)


class ServiceBugError(QcfeedError):
    """The service had an internal error while it answered; its log has the traceback."""

    code = "bug"


class ControlClient:
    """One control plane; each request has its own connection.

    ``timeout``: seconds for a whole request, however slowly the other end sends. ``program``: the name under
    which its actions are audited, beside the user.

    ``trace``: called after each request with its text and the seconds that it took.

    Every request raises UnreachableError, NotAllowedError, TimedOutError, or the error with which the service
    refused it: by its code, with its message and hint, and with the stack of a stuck loop as notes
    (``__notes__``).
    """

    def __init__(
        self,
        address: ControlAddress,
        *,
        timeout: float,
        program: str | None = None,
        trace: Callable[[str, float], None] | None = None,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.program = program
        self._trace = trace
        self._asking: ControlConnection | None = None
        self._aborted = False

    def abort(self) -> None:
        """Make the current request, and every later one, fail at once with UnreachableError. From any thread.

        An action that the service has begun continues there.
        """
        self._aborted = True
        if (asking := self._asking) is not None:
            asking.abort()

    def get(self, path: str, answer_type: type[AnyAnswer], **params: Any) -> AnyAnswer:
        """Send a read and return the answer. Parameters that are None are left out."""
        return self.decode(self.fetch(path, **params), answer_type)

    def post(self, path: str, body: msgspec.Struct, answer_type: type[AnyAnswer]) -> AnyAnswer:
        """Send an action and return the answer."""
        return self.decode(self.send(path, body), answer_type)

    def fetch(self, path: str, **params: Any) -> bytes:
        """Send a read and return the answer as unchanged JSON."""
        given = {key: value for key, value in params.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def send(self, path: str, body: msgspec.Struct) -> bytes:
        """Send an action and return the answer as unchanged JSON."""
        return self._ask("POST", path, msgspec.json.encode(body))

    def decode(self, raw: bytes, answer_type: type[AnyAnswer]) -> AnyAnswer:
        """Decode ``raw``. Raises UnreachableError if it is another kind of answer."""
        try:
            return msgspec.json.decode(raw, type=answer_type)
        except JSON_ERRORS as error:
            raise UnreachableError(
                f"{self.address} answers in a way that this qcfeed does not know: {error}",
                hint="is it a qcfeed service of the same version? `qcfeed --version`",
            ) from error

    def _ask(self, method: str, target: str, body: bytes | None) -> bytes:
        deadline = time.monotonic() + self.timeout
        try:
            with ControlConnection(
                self.address.where, deadline, self.address.token, self.program
            ) as connection:
                self._asking = connection
                self._connect(connection)
                status, raw = connection.ask(method, target, body, most=ANSWER_BYTES)
        except OSError as error:
            raise self._failed(error) from error
        except NotHttpError as error:
            raise self._stranger(str(error)) from error
        finally:
            self._asking = None
            if self._trace is not None:
                begun = deadline - self.timeout
                self._trace(f"{method} {target} of {self.address}", time.monotonic() - begun)
        if status != OK:
            raise self._refusal(status, raw)
        return raw

    def _connect(self, connection: ControlConnection) -> None:
        while not self._aborted:
            try:
                return connection.connect()
            except BlockingIOError:  # a Unix socket's backlog is full; try again
                time.sleep(_BACKLOG_PAUSE)
        raise ConnectionAbortedError

    def _failed(self, error: OSError) -> QcfeedError:
        if self._aborted:
            return self._unreachable("aborted")
        if isinstance(error, TimeoutError):
            return self._timed_out()
        if isinstance(error, ImpostorError):
            return NotAllowedError(
                f"{self.address} is served by user {error.peer.user}, not by {peers.me().user}",
                hint=f"`ls -la {self.address}`; if it is meant, {elsewhere.OPTIONS}",
            )
        reason = error.strerror or str(error)
        if isinstance(error, PermissionError):
            return NotAllowedError(
                f"{self.address} may not be asked: {reason}",
                hint=elsewhere.OPTIONS,
            )
        return self._elsewhere(error) or self._unreachable(reason)

    def _elsewhere(self, error: OSError) -> QcfeedError | None:
        """A better reason, if the socket's file is gone or no process listens there any more."""
        path = self.address.socket
        if path is None or not isinstance(error, FileNotFoundError | ConnectionRefusedError):
            return None
        return elsewhere.instead_of(path.name.removesuffix(SUFFIX), path.parent)

    def _timed_out(self) -> TimedOutError:
        return TimedOutError(
            f"{self.address} did not answer within {self.timeout:g} s",
            hint="is its process stopped or short of CPU? see `ps`; --timeout SECONDS waits longer",
        )

    def _unreachable(self, reason: str) -> UnreachableError:
        hint = paths.others_in(self.address.socket) if self.address.socket else ""
        return UnreachableError(
            f"cannot reach the service at {self.address}: {reason}",
            hint=hint or "is it running? `qcfeed serve` starts one",
        )

    def _stranger(self, what: str) -> UnreachableError:
        return UnreachableError(
            f"{self.address} does not answer as a control plane: {what}",
            hint="is it another program's? `qcfeed serve` prints where its control plane is",
        )

    def _refusal(self, status: int, raw: bytes) -> QcfeedError:
        return refusal(raw) or self._stranger(f"HTTP status {status}")


def refusal(raw: bytes) -> QcfeedError | None:
    """The error that a control plane answered with; None if ``raw`` is none."""
    try:
        failure = msgspec.json.decode(raw, type=ErrorAnswer)
    except JSON_ERRORS:
        return None
    error = errors_by_code().get(failure.code, ServiceBugError)(failure.message, hint=failure.hint)
    for line in failure.loop_stack:
        error.add_note(line)
    return error


def errors_by_code(root: type[QcfeedError] = QcfeedError) -> dict[str, type[QcfeedError]]:
    """All errors by code; of errors that share one, the most general."""
    found: dict[str, type[QcfeedError]] = {}
    for kind in root.__subclasses__():
        found |= errors_by_code(kind)
    return found | {root.code: root}
