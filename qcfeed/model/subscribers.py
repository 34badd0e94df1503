"""The answers about subscribers: who is connected, how far behind, and the end of some.

As in answers.py, which has their envelope and its rules.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answers import Answer

SYMBOLS_SHOWN = 20
"""Symbols of a connection that are named; ``held`` counts them all."""


class SubscribersQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``slow``: only who is behind, or missed quotes within the last minute. ``symbol``: who holds it.

    ``ids``: only these, commas between.
    """

    ids: str = ""
    slow: bool = False
    symbol: str = ""
    limit: int = 1000


class Subscriber(msgspec.Struct, kw_only=True):
    """One connection. ``id`` is never used again in the life of the service.

    ``lag``: quotes that it has not had yet. ``lag_bytes``: what is kept for it in the process.
    ``kernel_bytes``: what the kernel keeps until its peer has taken it; null where it does not say.
    ``stalled_s``: for how long its peer has not taken all that was written; 0 when it has.
    ``heard_s``: since it said anything, a pong included; one that is gone without a word says nothing.
    """

    id: int
    peer: str
    symbols: list[str]
    held: int
    policy: str
    compressed: bool
    lag: int
    lag_bytes: int
    kernel_bytes: int | None
    age_s: float
    stalled_s: float
    conflated: int
    dropped: int
    slow: bool
    heard_s: float = 0.0


class Subscribers(Answer, kw_only=True, tag="qcfeed.subscribers/2"):
    """The furthest behind first, then the oldest. ``total``: how many match, however many are listed."""

    total: int
    subscribers: list[Subscriber]


class KickRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """End these connections with close 4411. Unless ``force``, refused when any of them is there."""

    ids: list[int]
    force: bool = False
    timeout_s: float = 10.0


class Kicked(Answer, kw_only=True, tag="qcfeed.subscribers.kick/2"):
    """``gone``: ended before they were asked to. ``closing``: told to go, and still there."""

    kicked: int
    already_gone: int
    closing: list[int]
