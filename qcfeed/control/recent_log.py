"""The last lines of the process's log, kept for whoever asks after the fact."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

LINES = 2_000
LONGEST = 4_000
"""Characters kept of one line, its traceback included."""


@dataclass(slots=True)
class Entry:
    """One line, and how often it came in a row. Times are Unix seconds."""

    at: float
    level: str
    logger: str
    message: str
    repeated: int = 1
    last_at: float = 0.0


class RecentLog(logging.Handler):
    """A ring of LINES lines; the same one again and again is one line and a count.

    At most 8 MB; in an ordinary service 0.3. Cost: a line's formatting, and 1 us.
    """

    def __init__(self, lines: int = LINES) -> None:
        super().__init__()
        self.dropped = 0
        """Lines that are no longer kept."""
        self._lines: deque[Entry] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging, with the handler's lock held."""
        try:
            text = self.format(record)[:LONGEST]
        except Exception:  # noqa: BLE001 - logging's way: a line that cannot be made is told of
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
            Entry(record.created, record.levelname, record.name, text, last_at=record.created)
        )

    def entries(self) -> list[Entry]:
        """The lines, oldest first. From any thread."""
        self.acquire()
        try:
            return list(self._lines)
        finally:
            self.release()
