"""The slow-consumer policies, by the names that options, messages and answers use.

In a module of its own because every command reads it with the options, and most need no message.
"""

from __future__ import annotations

from enum import StrEnum


class SlowConsumerPolicy(StrEnum):
    """What becomes of a reader that is further behind than it may be."""

    CONFLATE = "conflate"
    """The newest quote a symbol, which says how many others it stands for."""
    DROP_OLDEST = "drop-oldest"
    """The newest quotes, of which the first says how many before it were dropped."""
    DISCONNECT = "disconnect"
    """Close 4408."""
