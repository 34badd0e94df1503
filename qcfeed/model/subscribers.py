"""The answers about subscribers: connections, how far behind they are, and closing some of them.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer

SYMBOLS_SHOWN = 20
"""How many symbols of a connection are listed; ``held`` is the full number."""


class SubscribersQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``slow``: only subscribers that are behind or missed quotes within the last minute.

    ``symbol``: only subscribers of this symbol. ``unanswered_s``: only those that have not answered a ping
    for this many seconds. ``ids``: only these, separated by commas.
    """

    ids: str = ""
    slow: bool = False
    symbol: str = ""
    unanswered_s: float = 0.0
    limit: int = 1000


class SubscriberStatus(msgspec.Struct, kw_only=True):
    """One connection. An ``id`` is never reused while the service runs.

    ``name``: the name of its API key or client certificate, or the subject of its token; null if it has not
    authenticated. ``lag``: unread quotes. ``lag_bytes``: bytes kept for it in the process. ``kernel_bytes``:
    bytes in the kernel that the peer has not acknowledged; null if the kernel does not say. ``stalled_s``: for
    how long its socket has not accepted everything; 0 if it has. ``heard_s``: time since it last sent anything,
    a pong included; a peer that vanished sends nothing. ``unanswered_s``: how long ago it was pinged, if it has
    not answered; else 0.
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
    unanswered_s: float = 0.0
    name: str | None = None


class Subscribers(Answer, kw_only=True, tag="qcfeed.subscribers/2"):
    """Subscribers, largest lag first, then oldest. ``total``: how many match, including those beyond the limit."""

    total: int
    subscribers: list[SubscriberStatus]


class KickRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Close these connections with 4411. Refused if any of them exists, unless ``force`` is set."""

    ids: list[int]
    force: bool = False
    timeout_s: float = 10.0


class Kicked(Answer, kw_only=True, tag="qcfeed.subscribers.kick/2"):
    """``already_gone``: connections that had ended before. ``closing``: closed, but the peer has not answered yet."""

    kicked: int
    already_gone: int
    closing: list[int]
