"""The last lines of the process's log, kept in memory for reports."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

LINES = 2_000
LONGEST = 4_000
"""Characters kept of one line, including its traceback."""


@dataclass(slots=True)
class LogEntry:
    """One line, and how often it was repeated in a row. Times are Unix seconds."""

    at: float
    level: str
    logger: str
    message: str
    repeated: int = 1
    last_at: float = 0.0


class RecentLog(logging.Handler):
    """A ring buffer of LINES lines; a line that repeats is kept once, with a count.

    Takes at most 8 MB, and 0.3 MB in an ordinary service. Cost: formatting the line, and 1 us.
    """

    def __init__(self, lines: int = LINES) -> None:
        super().__init__()
        # Else logging.basicConfig would give it one that repeats the level and the logger.
        self.setFormatter(logging.Formatter("%(message)s"))
        self.dropped = 0
        """Older lines that are no longer kept."""
        self._lines: deque[LogEntry] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``, which holds the handler's lock."""
        try:
            text = self.format(record)[:LONGEST]
        except Exception:  # noqa: BLE001 - as logging does: a line that cannot be formatted is reported
            self.handleError(record)
            return
        last = self._lines[-1] if self._lines else None
        same = last is not None and (last.message, last.logger, last.level) == (
            text,
            record.name,
            record.levelname,
        )
        if last is not None and same:
            last.repeated += 1
            last.last_at = record.created
            return
        self.dropped += len(self._lines) == self._lines.maxlen
        self._lines.append(
            LogEntry(record.created, record.levelname, record.name, text, last_at=record.created)
        )

    def entries(self) -> list[LogEntry]:
        """The lines, oldest first. From any thread."""
        self.acquire()
        try:
            return list(self._lines)
        finally:
            self.release()
