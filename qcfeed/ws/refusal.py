"""An HTTP error instead of an upgrade."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

from qcfeed.model.messages import Error


@dataclass(frozen=True, slots=True)
class Refusal:
    """The upgrade may not go ahead, and why, for the client and for the counters."""

    status: HTTPStatus
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    retryable: bool = False

    def response(self) -> bytes:
        """The whole HTTP response; the connection is closed after it."""
        body = msgspec.json.encode(Error(self.code, self.message, retryable=self.retryable)) + b"\n"
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body
