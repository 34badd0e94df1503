from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from qcfeed.model.market_hours import parse

NYSE = "Mon-Fri 09:30-16:00 America/New_York except 2026-11-26,2026-12-25"
UTC, NEW_YORK = ZoneInfo("UTC"), ZoneInfo("America/New_York")


def is_open(hours: str, at: str, zone: ZoneInfo = NEW_YORK) -> bool:
    parsed = parse(hours)
    assert parsed is not None
    return parsed.is_open(datetime.fromisoformat(at).replace(tzinfo=zone))


def test_always_means_no_market_hours() -> None:
    assert parse("always") is None


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-11-24T09:29:59", False),
        ("2026-11-24T09:30:00", True),
        ("2026-11-24T15:59:59", True),
        ("2026-11-24T16:00:00", False),
        ("2026-11-22T12:00:00", False),
        ("2026-11-26T12:00:00", False),
    ],
)
def test_a_session_of_one_day(at: str, open_: bool) -> None:
    assert is_open(NYSE, at) is open_


def test_daylight_saving_time_is_that_of_the_market() -> None:
    assert is_open(NYSE, "2026-03-06T14:29:00", UTC) is False
    assert is_open(NYSE, "2026-03-06T14:31:00", UTC) is True
    assert is_open(NYSE, "2026-03-09T13:31:00", UTC) is True, "since Sunday an hour earlier"


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-11-22T17:59:00", False),
        ("2026-11-22T18:00:00", True),
        ("2026-11-23T16:59:00", True),
        ("2026-11-23T17:30:00", False),
        ("2026-11-27T16:00:00", True),
        ("2026-11-27T18:30:00", False),
        ("2026-11-28T10:00:00", False),
    ],
)
def test_a_session_over_midnight_belongs_to_the_day_it_opens(at: str, open_: bool) -> None:
    assert is_open("Sun-Thu 18:00-17:00 America/New_York", at) is open_


def test_day_ranges_may_wrap_around_the_week() -> None:
    assert is_open("Sat-Mon 00:00-23:59 UTC", "2026-11-22T12:00:00", UTC) is True
    assert is_open("Sat 00:00-23:59 UTC", "2026-11-22T12:00:00", UTC) is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nine to five", "must be `always`"),
        ("Mon-Fry 09:30-16:00 UTC", "a day must be one of"),
        ("Mon-Fri 09:30-26:00 UTC", "hour must be"),
        ("Mon-Fri 09:30-16:00 America/Gotham", "unknown time zone 'America/Gotham'"),
        ("Mon-Fri 09:30-16:00 America", "unknown time zone"),
        ("Mon-Fri 09:30-16:00 UTC except 2026-13-01", "month must be"),
    ],
)
def test_invalid_market_hours_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


TOKYO = "Mon-Fri 09:00-11:30,12:30-15:30 Asia/Tokyo"


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-11-24T09:00:00", True),
        ("2026-11-24T11:29:59", True),
        ("2026-11-24T11:30:00", False),
        ("2026-11-24T12:30:00", True),
        ("2026-11-24T15:30:00", False),
        ("2026-11-22T10:00:00", False),
    ],
)
def test_a_lunch_break_is_closed(at: str, open_: bool) -> None:
    assert is_open(TOKYO, at, ZoneInfo("Asia/Tokyo")) is open_


def test_a_day_may_end_at_24() -> None:
    hours = "Mon-Fri 18:00-24:00 UTC"
    assert is_open(hours, "2026-11-24T23:59:59", UTC)
    assert not is_open(hours, "2026-11-25T00:00:00", UTC)
    assert is_open("Mon-Sun 00:00-24:00 UTC", "2026-11-29T23:59:59", UTC)


@pytest.mark.parametrize(
    "hours",
    ["12:00-13:00,09:00-10:00", "09:00-12:00,11:00-13:00", "09:00-10:00,20:00-09:30",
     "24:00-09:00", "09:00-25:00", "09:00-24:01", "09:00-10:00,"],
)  # fmt: skip
def test_impossible_sessions_are_refused(hours: str) -> None:
    with pytest.raises(ValueError, match=r"session|must be|hour|minute"):
        parse(f"Mon-Fri {hours} UTC")
