"""When a process that has ended is started again. Pure: times and the random number are arguments."""

from __future__ import annotations

import signal

from qcfeed.feed import backoff
from qcfeed.supervised import REASONS

STABLE = 60.0
"""Seconds after which a process counts as having run well: its next restart is delayed like a first one."""
LONGEST = 30.0
_LEAST = 0.1
"""Seconds between two starts at least: a process that ends at once must not occupy a core."""


class Restarts:
    """The restarts of one process. ``by_reason``: all so far; a start that failed counts as ended."""

    def __init__(self) -> None:
        self.by_reason = dict.fromkeys(REASONS, 0)
        self.last: str | None = None
        """The reason for the last one; None if there was none."""
        self._attempt = 0

    @property
    def count(self) -> int:
        return sum(self.by_reason.values())

    def ended(self, ran_for: float, draw: float, reason: str = "ended") -> float:
        """The process ended after ``ran_for`` seconds; the seconds to wait before the next start.

        ``draw``: a random number in [0, 1). ``reason``: one of REASONS.
        """
        self.by_reason[reason] += 1
        self.last = reason
        if ran_for >= STABLE:
            self._attempt = 0
        pause = backoff.delay(self._attempt, draw, cap=LONGEST)
        self._attempt += 1
        return max(_LEAST, pause)


def describe_exit(status: int) -> str:
    """A return code of asyncio's subprocesses as text: ``ended with status 3``, ``was killed by SIGKILL``."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
