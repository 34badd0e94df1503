"""Limits how often the same log line is written, and says how many were left out.

What strangers can cause (malformed requests, refused connections, a machine without descriptors) can
happen thousands of times per second. The log must stay readable, and writing it must not become the
fault.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

BURST = 10
"""Lines with the same text, before its values are filled in, that are written per WINDOW."""
WINDOW = 10.0
"""Seconds."""
MAX_TEXTS = 1_000
"""Different texts that are counted at the same time; the oldest is forgotten first."""
_MARK = "qcfeed_repeats"
"""An attribute that marks a record which the filter of another handler has already judged."""


class _Window:
    __slots__ = ("begun", "left_out", "written")

    def __init__(self, now: float) -> None:
        self.begun = now
        self.written = 0
        self.left_out = 0


class RepeatLimit(logging.Filter):
    """Passes BURST lines of the same logger, level and text per WINDOW seconds.

    The next line that passes, or ``flush``, says how many were left out: "... (and 7 more like this)".
    Use one filter for all handlers, so that they show the same lines. From any thread.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, int, str], _Window] = {}

    def __len__(self) -> int:
        """How many texts are counted now."""
        return len(self._windows)

    def filter(self, record: logging.LogRecord) -> bool:
        judged: bool | None = getattr(record, _MARK, None)
        if judged is None:
            with self._lock:
                judged = self._judge(record)
            setattr(record, _MARK, judged)
        return judged

    def _judge(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, record.levelno, str(record.msg)), self._now()
        window = self._windows.get(key)
        if window is None or now - window.begun >= WINDOW:
            left_out = 0 if window is None else window.left_out
            window = self._begin(key, now)
            if left_out:
                record.msg, record.args = f"{record.getMessage()}{_more(left_out)}", ()
        if window.written < BURST:
            window.written += 1
            return True
        window.left_out += 1
        return False

    def _begin(self, key: tuple[str, int, str], now: float) -> _Window:
        self._windows.pop(key, None)
        if len(self._windows) >= MAX_TEXTS:
            del self._windows[next(iter(self._windows))]
        window = self._windows[key] = _Window(now)
        return window

    def flush(self) -> None:
        """Log how many lines were left out in windows that are over. Call it from time to time."""
        now = self._now()
        with self._lock:
            over = [(k, w.left_out) for k, w in self._windows.items() if now - w.begun >= WINDOW]
            for key, _ in over:
                del self._windows[key]
        for (name, level, text), left_out in over:
            if left_out:
                logging.getLogger(name).log(
                    level, "%s%s", text, _more(left_out), extra={_MARK: True}
                )


def _more(left_out: int) -> str:
    return f" (and {left_out:,} more like this)"
