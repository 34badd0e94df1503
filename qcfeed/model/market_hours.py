"""Market hours: when quotes are expected, so that a silent night raises no alert.

The option gives days, hours and holidays; nothing is looked up anywhere.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ALWAYS = "always"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SESSION = r"\d\d:\d\d-\d\d:\d\d"
_FORM = re.compile(
    rf"(?P<first>[a-z]{{3}})(-(?P<last>[a-z]{{3}}))? (?P<sessions>{_SESSION}(,{_SESSION})*)"
    r" (?P<zone>[a-z0-9_+/-]+)( except (?P<holidays>[0-9,-]+))?",
    re.IGNORECASE,
)
_MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class TradingSession:
    """From ``opens`` to ``closes``, in minutes since midnight; a session that closes at or before its
    opening time runs past midnight and belongs to the day on which it opens.
    """

    opens: int
    closes: int

    @property
    def ends(self) -> int:
        """When it closes, in minutes since the midnight before it opened."""
        return self.closes if self.opens < self.closes else self.closes + _MINUTES_OF_DAY


@dataclass(frozen=True, slots=True)
class MarketHours:
    """Sessions on ``days`` (0 is Monday) except ``holidays``, in ``zone``."""

    days: frozenset[int]
    sessions: tuple[TradingSession, ...]
    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()

    def is_open(self, at: datetime) -> bool:
        """Whether the market is open at ``at``, a timezone-aware time."""
        local = at.astimezone(self.zone)
        today, clock = local.date(), local.hour * 60 + local.minute
        return self._has(today, clock) or self._has(
            today - timedelta(days=1), clock + _MINUTES_OF_DAY
        )

    def _has(self, day: date, minute: int) -> bool:
        """Whether a session of ``day`` includes the minute, counted from that day's midnight."""
        if day.weekday() not in self.days or day in self.holidays:
            return False
        return any(each.opens <= minute < each.ends for each in self.sessions)


def parse(text: str) -> MarketHours | None:
    """Parse ``Mon-Fri 09:00-11:30,12:30-15:30 Asia/Tokyo except 2026-11-23,2026-12-31``; None for ``always``.

    Raises ValueError with the reason for anything else.
    """
    if text == ALWAYS:
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(
            "must be `always` or like `Mon-Fri 09:30-16:00 America/New_York`; several sessions of a"
            " day are separated by commas, and a day ends at 24:00"
        )
    holidays = (found["holidays"] or "").split(",")
    return MarketHours(
        _days(found["first"], found["last"] or found["first"]),
        _sessions(found["sessions"]),
        _zone(found["zone"]),
        frozenset(date.fromisoformat(each) for each in holidays if each),
    )


def _sessions(text: str) -> tuple[TradingSession, ...]:
    """The sessions, separated by commas; none may overlap the next, or itself a day later."""
    found = []
    for each in text.split(","):
        opens, closes = map(_minute, each.split("-"))
        if opens == _MINUTES_OF_DAY:
            raise ValueError(f"a session opens at 00:00, not at 24:00: {each}")
        found.append(TradingSession(opens, closes))
    for earlier, later in itertools.pairwise(found):
        if later.opens < earlier.ends:
            raise ValueError("sessions must be in order and must not overlap")
    if len(found) > 1 and found[-1].ends > found[0].opens + _MINUTES_OF_DAY:
        raise ValueError("the last session runs into the first one of the next day")
    return tuple(found)


def _minute(text: str) -> int:
    """``HH:MM`` in minutes since midnight; 24:00 is the end of the day."""
    if text == "24:00":
        return _MINUTES_OF_DAY
    moment = time.fromisoformat(text)
    return moment.hour * 60 + moment.minute


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
