"""What becomes of a reader that falls behind: one budget a reader, and a named policy beyond it.

A reader that takes everything in time is never counted here. One that does not may leave a bounded
number of quotes unread, over all that it holds; what comes then is its policy's to say, and stays so
until it has caught up.
"""

from __future__ import annotations

from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy


class Backlog:
    """How far one reader is behind, counted only while it takes nothing.

    ``limit``: quotes that it may leave unread, over all that it holds, before ``policy``.
    """

    __slots__ = ("behind", "conflated", "dropped", "limit", "over_limit", "policy")

    def __init__(self, policy: SlowConsumerPolicy, limit: int) -> None:
        self.policy = policy
        self.limit = limit
        self.behind = 0
        """Quotes that came since it took nothing any more; too many where it gave up symbols since."""
        self.over_limit = False
        """Whether its policy has begun."""
        self.conflated = 0
        """Quotes of which it was told by another's ``conflated``, so far."""
        self.dropped = 0
        """Quotes of which it was told by another's ``dropped``, so far."""

    @property
    def must_disconnect(self) -> bool:
        """Whether it is to be disconnected."""
        return self.over_limit and self.policy is SlowConsumerPolicy.DISCONNECT

    def keeps(self, lag: int, holds: int) -> int:
        """How many of the ``lag`` newest quotes of one symbol are kept for it.

        It holds ``holds`` symbols; what may stay unread is shared among them evenly.
        """
        if not self.over_limit:
            return lag
        if self.policy is SlowConsumerPolicy.DROP_OLDEST:
            return min(lag, max(1, self.limit // max(1, holds)))
        return 0  # the newest quote is known without the log

    def settle(self, still_behind: int = 0) -> None:
        """It is counted anew: so many quotes are kept that it has not taken."""
        self.behind = still_behind
        if still_behind == 0:
            self.over_limit = False
        elif still_behind > self.limit:
            self.over_limit = True
