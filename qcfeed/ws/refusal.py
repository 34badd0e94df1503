"""A refused upgrade: an HTTP error response instead of the 101."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

from qcfeed.model.messages import Error


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an upgrade is refused. ``code`` goes into the body and into the metrics."""

    status: HTTPStatus
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    retryable: bool = False

    @property
    def body(self) -> bytes:
        """An error message as JSON."""
        return msgspec.json.encode(Error(self.code, self.message, retryable=self.retryable)) + b"\n"

    def response(self) -> bytes:
        """The complete HTTP response, with ``Connection: close``."""
        body = self.body
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close, Upgrade" if "Upgrade" in self.headers else "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body
