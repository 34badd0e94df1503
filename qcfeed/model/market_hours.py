"""Market hours: when quotes are expected, so that a silent night raises no alert.

The option gives days, hours and holidays; nothing is looked up anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ALWAYS = "always"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(
    r"(?P<first>[a-z]{3})(-(?P<last>[a-z]{3}))? (?P<opens>\d\d:\d\d)-(?P<closes>\d\d:\d\d)"
    r" (?P<zone>[a-z0-9_+/-]+)( except (?P<holidays>[0-9,-]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class MarketHours:
    """Sessions from ``opens`` to ``closes`` on ``days`` (0 is Monday) except ``holidays``, in ``zone``.

    A session that closes at or before its opening time runs past midnight and belongs to the day on
    which it opens.
    """

    days: frozenset[int]
    opens: time
    closes: time
    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()

    def is_open(self, at: datetime) -> bool:
        """Whether the market is open at ``at``, a timezone-aware time."""
        local = at.astimezone(self.zone)
        today, clock = local.date(), local.time()
        if self.opens < self.closes:
            return self._has(today) and self.opens <= clock < self.closes
        yesterday = today - timedelta(days=1)
        return (self._has(today) and clock >= self.opens) or (
            self._has(yesterday) and clock < self.closes
        )

    def _has(self, day: date) -> bool:
        return day.weekday() in self.days and day not in self.holidays


def parse(text: str) -> MarketHours | None:
    """Parse ``Mon-Fri 09:30-16:00 America/New_York except 2026-11-26,2026-12-25``; None for ``always``.

    Raises ValueError with the reason for anything else.
    """
    if text == ALWAYS:
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("must be `always` or like `Mon-Fri 09:30-16:00 America/New_York`")
    holidays = (found["holidays"] or "").split(",")
    return MarketHours(
        _days(found["first"], found["last"] or found["first"]),
        time.fromisoformat(found["opens"]),
        time.fromisoformat(found["closes"]),
        _zone(found["zone"]),
        frozenset(date.fromisoformat(each) for each in holidays if each),
    )


def _days(first: str, last: str) -> frozenset[int]:
    """The days from ``first`` to ``last``, wrapping around the week."""
    try:
        begin, end = (_DAYS.index(each.lower()) for each in (first, last))
    except ValueError:
        raise ValueError(f"a day must be one of {', '.join(_DAYS)}") from None
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found; not a valid key; a directory of zones
        raise ValueError(f"unknown time zone {name!r}") from None
