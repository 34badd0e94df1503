"""Parses times on the command line: ``02:15``, ``2024-03-20T02:15``, with or without a UTC offset.

A time without an offset is UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

import typer

from qcfeed.cli.ui import durations

_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_CLOCK = re.compile(
    r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII | re.IGNORECASE
)


def parse(text: str) -> float:
    """A time as Unix seconds. Raises typer.BadParameter if it is not a time or lies in the future."""
    return resolve(text, datetime.now(UTC))


def resolve(text: str, now: datetime) -> float:
    """``parse`` with an explicit current time. A time of day alone means its latest occurrence."""
    written = text.strip().upper()
    try:
        if _CLOCK.fullmatch(written):
            return _latest(time.fromisoformat(written.zfill(_width(written))), now).timestamp()
        moment = datetime.fromisoformat(written)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a time; for example 02:15, 2024-03-20T02:15, 2024-03-20T02:15+01:00"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > now:
        raise typer.BadParameter(f"{text!r} is in the future: it is now {now:%Y-%m-%dT%H:%M:%SZ}")
    return moment.timestamp()


def parse_end(text: str) -> float:
    """A time to come as Unix seconds: a duration from now (``90d``), a date or a time.

    Raises typer.BadParameter if it is neither, or not in the future, or after the year 9999.
    """
    now = datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text.strip().upper())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    except (ValueError, OverflowError):
        seconds = now.timestamp() + durations.parse(text)
    if not now.timestamp() < seconds < _LATEST:
        raise typer.BadParameter(f"{text!r} is not in the future, or too far")
    return seconds


def _width(written: str) -> int:
    """The length of ``written`` once its hour has two digits: 5 for ``2:15``."""
    return len(written) + (written.index(":") == 1)


def _latest(clock: time, now: datetime) -> datetime:
    """The latest moment, not after ``now``, at this time of day."""
    zone = clock.tzinfo or UTC
    moment = datetime.combine(now.astimezone(zone).date(), clock.replace(tzinfo=zone))
    return moment if moment <= now else moment - timedelta(days=1)
