"""The backlog of a slow consumer: one limit per consumer, and a policy beyond the limit.

A consumer that accepts every write has no backlog. Any other may leave a limited number of quotes
unread, over all its symbols. Beyond that limit its policy applies, until it has caught up.
"""

from __future__ import annotations

from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy


class Backlog:
    """How far one consumer is behind; updated only while the consumer is not writable.

    ``limit``: quotes the consumer may leave unread, over all its symbols, before ``policy`` applies.
    """

    __slots__ = ("behind", "conflated", "dropped", "limit", "over_limit", "policy")

    def __init__(self, policy: SlowConsumerPolicy, limit: int) -> None:
        self.policy = policy
        self.limit = limit
        self.behind = 0
        """Quotes published since the consumer stalled; too high if it has unsubscribed since."""
        self.over_limit = False
        """Whether the policy applies."""
        self.conflated = 0
        """Quotes reported to this consumer in another quote's ``conflated``, in total."""
        self.dropped = 0
        """Quotes reported to this consumer in another quote's ``dropped``, in total."""

    @property
    def must_disconnect(self) -> bool:
        """Whether the consumer must be disconnected for being too slow."""
        return self.over_limit and self.policy is SlowConsumerPolicy.DISCONNECT

    def retained(self, lag: int, symbol_count: int) -> int:
        """How many of one symbol's ``lag`` unread quotes the log keeps for this consumer.

        The limit is shared evenly among the consumer's ``symbol_count`` symbols.
        """
        if not self.over_limit:
            return lag
        if self.policy is SlowConsumerPolicy.DROP_OLDEST:
            return min(lag, max(1, self.limit // max(1, symbol_count)))
        return 0  # conflation needs only QuoteLog.latest, no frames

    def reset(self, still_behind: int = 0) -> None:
        """Set the backlog to ``still_behind`` quotes; leave the policy when there are none."""
        self.behind = still_behind
        if still_behind == 0:
            self.over_limit = False
        elif still_behind > self.limit:
            self.over_limit = True
