"""The slow-consumer policies, by the names used in options, messages and answers.

A module of its own, because every command imports it with the options and most need no messages.
"""

from __future__ import annotations

from enum import StrEnum


class SlowConsumerPolicy(StrEnum):
    """What happens to a consumer that has more unread quotes than its limit."""

    CONFLATE = "conflate"
    """Send the newest quote per symbol, which says how many others it stands for."""
    DROP_OLDEST = "drop-oldest"
    """Send the newest quotes; the first one says how many before it were dropped."""
    DISCONNECT = "disconnect"
    """Close the connection with code 4408."""
