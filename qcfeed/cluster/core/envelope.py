"""What is published on a symbol's subject: a fixed prefix, then the quote's JSON text as subscribers get it.

A gateway reads the prefix to order quotes, and passes the JSON on without decoding it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from qcfeed.model.symbol import Symbol

MAX_QUOTE = 4_096
"""Bytes of a quote's JSON text; a longer one is invalid."""

_PREFIX = struct.Struct("!BQIQ")
_QUOTE, _REFUSAL = 0x51, 0x45  # Q and E


class InvalidEnvelopeError(ValueError):
    """A message on a quote subject is not what a feeder publishes."""


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """One life of a symbol's sequence numbers: ``life`` counts feeds within the lease ``revision``."""

    revision: int
    life: int

    def __str__(self) -> str:
        return f"{self.revision}.{self.life}"


@dataclass(frozen=True, slots=True)
class PublishedQuote:
    """A quote as JSON text, with its place in the order of its symbol's quotes."""

    epoch: Epoch
    seq: int
    text: bytes


@dataclass(frozen=True, slots=True)
class PublishedRefusal:
    """The upstream does not have the symbol; ``epoch`` is that of the owner which was refused."""

    epoch: Epoch
    reason: str


def parse_epoch(text: str) -> Epoch:
    """The epoch of ``str(epoch)``. Raises ValueError."""
    revision, _, life = text.partition(".")
    return Epoch(int(revision), int(life))


def pack(quote: PublishedQuote) -> bytes:
    epoch = quote.epoch
    return _PREFIX.pack(_QUOTE, epoch.revision, epoch.life, quote.seq) + quote.text


def pack_refusal(refusal: PublishedRefusal) -> bytes:
    epoch = refusal.epoch
    prefix = _PREFIX.pack(_REFUSAL, epoch.revision, epoch.life, 0)
    return prefix + refusal.reason.encode()[:MAX_QUOTE]


def text(data: bytes) -> bytes:
    """The JSON text of a quote's message."""
    return data[_PREFIX.size :]


def unpack(data: bytes, symbol: Symbol) -> PublishedQuote | PublishedRefusal:
    """The message in ``data``. Raises InvalidEnvelopeError if it is not one for ``symbol``. Cost: 1 us.

    The JSON is not decoded: its begin names the symbol, its end closes the object.
    """
    if len(data) < _PREFIX.size or len(data) > _PREFIX.size + MAX_QUOTE:
        raise InvalidEnvelopeError(f"a message of {len(data)} bytes")
    kind, revision, life, seq = _PREFIX.unpack_from(data)
    text = data[_PREFIX.size :]
    if kind == _REFUSAL:
        return PublishedRefusal(Epoch(revision, life), text.decode("utf-8", "replace"))
    if kind != _QUOTE:
        raise InvalidEnvelopeError(f"an unknown kind of message, {kind:#x}")
    if not (
        text.startswith(b'{"type":"quote","symbol":"%b",' % symbol.encode()) and text[-1] == 125
    ):
        raise InvalidEnvelopeError(f"a message that is not a quote of {symbol}")
    return PublishedQuote(Epoch(revision, life), seq, text)
