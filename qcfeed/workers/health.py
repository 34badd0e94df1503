"""Whether a worker is stuck: it does not answer, or its event loop does not run. Pure: time is an argument."""

from __future__ import annotations

STUCK_AFTER = 5.0
"""Seconds after which a worker counts as stuck and is named; half of the limit if that is less."""
_LEAST_CHECKS = 3
"""Checks in a row that must have failed: a single one may fail because the supervisor itself was stopped."""


class WorkerHealth:
    """One life of one worker. ``limit``: seconds for which it may be stuck; 0 if it is never restarted."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._named_after = min(STUCK_AFTER, limit / 2) if limit else STUCK_AFTER
        self._since: float | None = None
        self._failed = 0
        self._what = ""

    def answered(self, now: float, stalled_for: float = 0.0) -> None:
        """It answered; its event loop has not run for ``stalled_for`` seconds."""
        if stalled_for < self._named_after / 2:
            self._since, self._failed, self._what = None, 0, ""
        else:
            self._fail(now - stalled_for, "its event loop does not run")

    def silent(self, sent_at: float, why: str) -> None:
        """It did not answer in time a request that was sent at ``sent_at``."""
        self._fail(sent_at, why)

    def stuck_for(self, now: float) -> float:
        """Seconds for which it has been stuck; 0 unless it counts as stuck."""
        if self._since is None or self._failed < _LEAST_CHECKS:
            return 0.0
        lasted = now - self._since
        return lasted if lasted >= self._named_after else 0.0

    def overdue(self, now: float) -> bool:
        """Whether it must be killed and started again."""
        return 0 < self._limit <= self.stuck_for(now)

    def describe(self, now: float) -> str:
        """What is wrong, for a person: ``its event loop does not run, for 7 s``."""
        return f"{self._what}, for {self.stuck_for(now):.0f} s"

    def _fail(self, since: float, what: str) -> None:
        self._since = since if self._since is None else min(self._since, since)
        self._failed += 1
        self._what = what
