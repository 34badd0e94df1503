"""What becomes of a reader that falls behind: one budget a reader, and a named fate beyond it.

A reader that takes everything in time is never counted here. One that does not may leave a bounded
number of quotes unread, over all that it holds; what comes then is its fate's to say, and stays so
until it has caught up.
"""

from __future__ import annotations

from qcfeed.model.slow_consumer_policy import Fate


class Backlog:
    """How far one reader is behind, counted only while it takes nothing.

    ``limit``: quotes that it may leave unread, over all that it holds, before ``fate``.
    """

    __slots__ = ("behind", "conflated", "dropped", "fate", "limit", "overrun")

    def __init__(self, fate: Fate, limit: int) -> None:
        self.fate = fate
        self.limit = limit
        self.behind = 0
        """Quotes that came since it took nothing any more; too many where it gave up symbols since."""
        self.overrun = False
        """Whether its fate has begun."""
        self.conflated = 0
        """Quotes of which it was told by another's ``conflated``, so far."""
        self.dropped = 0
        """Quotes of which it was told by another's ``dropped``, so far."""

    @property
    def doomed(self) -> bool:
        """Whether it is to be disconnected."""
        return self.overrun and self.fate is Fate.DISCONNECT

    def keeps(self, lag: int, holds: int) -> int:
        """How many of the ``lag`` newest quotes of one symbol are kept for it.

        It holds ``holds`` symbols; what may stay unread is shared among them evenly.
        """
        if not self.overrun:
            return lag
        if self.fate is Fate.DROP_OLDEST:
            return min(lag, max(1, self.limit // max(1, holds)))
        return 0  # the newest quote is known without the log

    def settle(self, still_behind: int = 0) -> None:
        """It is counted anew: so many quotes are kept that it has not taken."""
        self.behind = still_behind
        if still_behind == 0:
            self.overrun = False
        elif still_behind > self.limit:
            self.overrun = True
