"""The messages of ``qcfeed --cluster``: a request to all instances, and their answers in parts.

A request is JSON. An answer is a line of JSON, the head, and then a part of the instance's own answer: a
list of feeds may be longer than a NATS message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from qcfeed.cluster.core.control import ShortText
from qcfeed.model.json_errors import JSON_ERRORS

ASK = "qc.ops.ask"
"""Requests that only read, to all instances."""
ACT = "qc.ops.act."
"""``qc.ops.act.<token>``: a request to one instance that changes something."""
HERE = "qc.ops.here"
"""Instances announce themselves; feeders remember them."""

PART = 262_144
"""Bytes of a part; a NATS server accepts messages of 1 MiB by default."""
MAX_PARTS = 256
MAX_REQUEST = 65_536


class ClusterRequest(msgspec.Struct, frozen=True, tag="ask/1"):
    """``path``: of the control plane; empty to ask only who is there."""

    path: Annotated[str, Meta(max_length=128)] = ""
    params: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"{}")


class Here(msgspec.Struct, frozen=True, tag="here/1"):
    """An instance is there; ``ends``: it is about to end."""

    member: ShortText
    ends: bool = False


class AnswerHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """``heard``: of a feeder, seconds since it last heard of each instance."""

    member: ShortText
    status: int
    part: int = 1
    parts: Annotated[int, Meta(ge=1, le=MAX_PARTS)] = 1
    heard: dict[str, float] = {}


class InvalidAnswerError(ValueError):
    """A message that is not a part of an answer."""


_encode = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(ClusterRequest)
_head = msgspec.json.Decoder(AnswerHead)
_here = msgspec.json.Decoder(Here)


def act_subject(member: str) -> str:
    """Where one instance takes actions: its name may have characters that a subject may not."""
    return ACT + hashlib.sha256(member.encode()).hexdigest()[:32]


def encode(message: ClusterRequest | Here) -> bytes:
    return _encode(message)


def decode_request(data: bytes) -> ClusterRequest:
    """Raises one of JSON_ERRORS."""
    # A longer request is cut, which makes it invalid JSON.
    return _request.decode(data[: MAX_REQUEST + 1])


def decode_here(data: bytes) -> Here:
    """Raises one of JSON_ERRORS."""
    return _here.decode(data)


def parts(
    member: str, status: int, answer: bytes, heard: dict[str, float] | None = None
) -> Iterator[bytes]:
    """The messages of an answer. An answer that is too long is replaced by an empty one with status 413."""
    count = max(1, -(-len(answer) // PART))
    if count > MAX_PARTS:
        yield from parts(member, 413, b"")
        return
    for number in range(count):
        head = AnswerHead(member, status, number + 1, count, heard or {})
        yield _encode(head) + b"\n" + answer[number * PART : (number + 1) * PART]


class AnswerCollector:
    """Puts the parts of the instances' answers together, in whatever order they come."""

    def __init__(self) -> None:
        self.complete: dict[str, tuple[int, bytes]] = {}
        """By instance: status and answer."""
        self.heard: dict[str, float] = {}
        """Seconds since an instance was last heard of, as feeders report it."""
        self._parts: dict[str, dict[int, bytes]] = {}

    def add(self, message: bytes) -> str | None:
        """The instance whose answer is complete with this message, or None. Raises InvalidAnswerError."""
        line, separator, part = message.partition(b"\n")
        try:
            head = _head.decode(line)
        except JSON_ERRORS as error:
            raise InvalidAnswerError(str(error)) from error
        if not separator or not 1 <= head.part <= head.parts:
            raise InvalidAnswerError("it is not a part of an answer")
        for member, seconds in head.heard.items():
            self.heard[member] = min(seconds, self.heard.get(member, seconds))
        collected = self._parts.setdefault(head.member, {})
        collected[head.part] = part
        if head.member in self.complete or len(collected) < head.parts:
            return None
        answer = b"".join(collected[number] for number in sorted(collected))
        self.complete[head.member] = (head.status, answer)
        return head.member


class Roster:
    """Which instances there were lately, as a feeder has heard them. Time is an argument."""

    KEPT = 600.0
    """Seconds for which an instance is remembered that is not heard any more."""
    MOST = 10_000

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def hear(self, here: Here, now: float) -> None:
        # Removed first, so that the dict is ordered by time.
        self._at.pop(here.member, None)
        if not here.ends:
            self._at[here.member] = now
        while len(self._at) > self.MOST:
            self._at.pop(next(iter(self._at)))

    def heard(self, now: float) -> dict[str, float]:
        """Seconds since each instance was last heard of."""
        while self._at and now - next(iter(self._at.values())) > self.KEPT:
            self._at.pop(next(iter(self._at)))
        return {member: round(now - at, 1) for member, at in self._at.items()}


def text_params(params: dict[str, Any]) -> dict[str, str]:
    """Parameters as text, as in a query string; without those that are None."""
    return {name: str(value) for name, value in params.items() if value is not None}
