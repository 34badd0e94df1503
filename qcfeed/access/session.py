"""The authentication of one connection: its client, when it ends, and when to warn of that. No I/O, no clock."""

from __future__ import annotations

from enum import Enum, auto

from qcfeed.access.grants import Identity

WARN_BEFORE = 60.0
"""Seconds before the end of a token at which its client is warned; a shorter token's last quarter."""


class Due(Enum):
    """What is due for a session."""

    NOTHING = auto()
    WARNING = auto()
    """The client must be warned that its token expires soon."""
    END = auto()
    """The token has expired."""
    TIMEOUT = auto()
    """The client has not authenticated in time."""


class Session:
    """The client of one connection. In a service without authentication, connections have no session.

    ``identity`` is None while a connection to /stream has not authenticated, for which it has until
    ``deadline`` (loop time). ``revision``: the revision of the keys that confirmed the identity.
    """

    __slots__ = ("_warn_at", "deadline", "identity", "revision")

    def __init__(self, deadline: float) -> None:
        self.identity: Identity | None = None
        self.deadline = deadline
        self.revision = 0
        self._warn_at: float | None = None

    def begin(self, identity: Identity, revision: int, wall: float) -> None:
        """The client is ``identity`` from now on. ``wall``: the Unix time."""
        if self.identity is None or self.identity.ends_at != identity.ends_at:
            left = None if identity.ends_at is None else identity.ends_at - wall
            self._warn_at = None if left is None else wall + left - min(WARN_BEFORE, left / 4)
        self.identity = identity
        self.revision = revision

    def due(self, now: float, wall: float) -> Due:
        """What is due at ``now`` (loop time), which is ``wall`` in Unix time; a warning once."""
        if self.identity is None:
            return Due.TIMEOUT if now >= self.deadline else Due.NOTHING
        ends_at = self.identity.ends_at
        if ends_at is None:
            return Due.NOTHING
        if wall >= ends_at:
            return Due.END
        if self._warn_at is not None and wall >= self._warn_at:
            self._warn_at = None
            return Due.WARNING
        return Due.NOTHING

    def allows(self, symbol: str) -> bool:
        """Whether the client may subscribe to ``symbol``."""
        return self.identity is not None and self.identity.symbols.allows(symbol)
