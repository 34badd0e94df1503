"""Log lines about refused authentications: one per client and minute, however many there are."""

from __future__ import annotations

import logging
from collections import Counter

from qcfeed.access.denial import Reason

log = logging.getLogger("qcfeed.access")

EVERY = 60.0
"""Seconds between two lines about one client."""
MAX_CLIENTS = 256
"""Clients with lines of their own within that time; others are only counted, in the next line of all."""


class RefusalLog:
    """Remembers the clients of the last minute. No line contains a token."""

    def __init__(self) -> None:
        self._since = float("-inf")
        self._counts: Counter[str] = Counter()
        self._others = 0

    def note(self, client: str, reason: Reason, now: float) -> None:
        """An authentication of ``client`` was refused at ``now`` (loop time)."""
        if now - self._since >= EVERY:
            self._summarize()
            self._since = now
        if client not in self._counts and len(self._counts) >= MAX_CLIENTS:
            self._others += 1
            return
        self._counts[client] += 1
        if self._counts[client] == 1:
            log.warning("refused the authentication of %s: %s", client, reason)

    def _summarize(self) -> None:
        """Log what the last minute's clients did after their first line, the most persistent ones only."""
        for client, count in self._counts.most_common(5):
            if count > 1:
                log.warning("refused %d authentications of %s within a minute", count, client)
        if self._others:
            log.warning("refused %d authentications of other clients as well", self._others)
        self._counts.clear()
        self._others = 0
