"""One request to a control plane and its answer, on its own connection, with one deadline.

Used by the commands' client (client.py) and by TAB completion, so it imports nothing slow
(docs/adr/0022). It speaks HTTP/1.0 (RFC 1945): the answer is one head, and a body whose length the head
gives or that ends with the connection. There are no chunks and no interim answers.
"""

from __future__ import annotations

import errno
import socket
import time

from qcfeed import numbers
from qcfeed.control import peers

Where = str | tuple[str, int]
"""A Unix socket's path, or a host (a number or ``localhost``) and its port."""

OK = 200
"""The status of an answer that is not an error."""

HEAD_BYTES = 16_384
"""More bytes than any head has."""

_MOST = 2**63
"""A length that is larger is no length."""
_PIECE = 65_536
_BEGIN = b"HTTP/"
_END = b"\r\n\r\n"


class ImpostorError(PermissionError):
    """The socket belongs to another user: ``peer``, who is not trusted."""

    def __init__(self, peer: peers.Peer) -> None:
        super().__init__(errno.EPERM, f"it is served by user {peer.user}")
        self.peer = peer


class NotHttpError(ValueError):
    """The other end is not a control plane; the message says what it sent."""


class ControlConnection:
    """A connection for one request.

    ``deadline``: by ``time.monotonic()``, for the whole request, so an end that sends byte by byte gains
    nothing. After it every call raises TimeoutError. ``token``: the bearer token, if one is needed.
    ``program``: the caller's name for the audit log (the User-Agent of RFC 9110 section 10.1.5).
    """

    def __init__(
        self, where: Where, deadline: float, token: str | None = None, program: str | None = None
    ) -> None:
        self._where = where
        self._deadline = deadline
        self._token = token
        self._program = program
        family = (
            socket.AF_UNIX if isinstance(where, str)
            else socket.AF_INET6 if ":" in where[0]
            else socket.AF_INET
        )  # fmt: skip
        self._socket = socket.socket(family, socket.SOCK_STREAM)

    def __enter__(self) -> ControlConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> None:
        """Connect. Raises OSError: BlockingIOError while a Unix socket's backlog is full (it may be tried again),
        and ImpostorError if another user listens there.
        """
        self._hurry()
        if not isinstance(self._where, str):
            host, port = self._where
            # Names are not resolved.
            self._socket.connect(("127.0.0.1" if host == "localhost" else host, port))
            return
        self._socket.connect(self._where)
        # Asked of the kernel about this connection: the socket's file may be replaced at any time.
        listening = peers.peer(self._socket)
        if not listening.is_trusted:
            raise ImpostorError(listening)

    def ask(
        self, method: str, target: str, body: bytes | None = None, *, most: int
    ) -> tuple[int, bytes]:
        """Return the answer's status and its body of at most ``most`` bytes.

        Raises NotHttpError if the answer is not HTTP or is longer, and OSError, also if the connection ends too
        early.
        """
        self._hurry()
        self._socket.sendall(self._request(method, target, body))
        head, rest = self._head()
        status, length = _read_head(head)
        return status, self._body(rest, length, most)

    def abort(self) -> None:
        """Make the thread that waits for this connection fail with an OSError at once. From any thread."""
        # First, for a thread that is between two calls: it fails at its next one.
        self._deadline = 0.0
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # not connected yet, or closed already

    def close(self) -> None:
        self._socket.close()

    def _request(self, method: str, target: str, body: bytes | None) -> bytes:
        lines = [f"{method} {target} HTTP/1.0", f"Host: {self._host()}"]
        if self._token is not None:
            lines.append(f"Authorization: Bearer {self._token}")
        if self._program is not None:
            lines.append(f"User-Agent: {self._program}")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")

    def _host(self) -> str:
        if isinstance(self._where, str):
            return "localhost"
        host, port = self._where
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _head(self) -> tuple[bytes, bytes]:
        """Read the head, and the part of the body that arrived with it."""
        raw = b""
        # What is no HTTP is noticed at its first bytes, so another program's banner is no timeout.
        while True:
            piece = self._receive()
            raw += piece
            if not raw:
                raise _ended("it closed the connection without an answer")
            if not raw.startswith(_BEGIN[: len(raw)]):
                raise NotHttpError(f"it begins with {raw[:40]!r}")
            head, end, rest = raw.partition(_END)
            if end:
                return head, rest
            if not piece:
                raise NotHttpError(f"it says {raw[:40]!r} and no more")
            if len(raw) > HEAD_BYTES:
                raise NotHttpError(f"a head of over {HEAD_BYTES} bytes")

    def _body(self, rest: bytes, length: int | None, most: int) -> bytes:
        """Read the whole body. ``length``: from the head, if it has one."""
        pieces, got = [rest], len(rest)
        while True:
            if max(got, length or 0) > most:
                raise NotHttpError(f"an answer of over {most} bytes")
            if length is not None and got >= length:
                return b"".join(pieces)[:length]
            piece = self._receive()
            if not piece and length is None:
                return b"".join(pieces)
            if not piece:
                raise _ended(f"it ended after {got:,} of {length:,} bytes of its answer")
            pieces.append(piece)
            got += len(piece)

    def _receive(self) -> bytes:
        self._hurry()
        return self._socket.recv(_PIECE)

    def _hurry(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)


def _read_head(head: bytes) -> tuple[int, int | None]:
    """The status, and the body's length if the head has it. Raises NotHttpError."""
    first, *fields = head.split(b"\r\n")
    status = first.split(b" ")[1:2]
    if not (status and len(status[0]) == 3 and status[0].isdigit()):
        raise NotHttpError(f"it begins with {first[:40]!r}")
    length = None
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = numbers.whole(value.strip().decode("latin-1"), _MOST)
            if length is None:
                raise NotHttpError(f"it says {field[:40]!r}")
    return int(status[0]), length


def _ended(how: str) -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, how)
