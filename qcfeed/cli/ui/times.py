"""Parses times on the command line: ``02:15``, ``2024-03-20T02:15``, with or without a UTC offset.

A time without an offset is UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

import typer

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


def _width(written: str) -> int:
    """The length of ``written`` once its hour has two digits: 5 for ``2:15``."""
    return len(written) + (written.index(":") == 1)


def _latest(clock: time, now: datetime) -> datetime:
    """The latest moment, not after ``now``, at this time of day."""
    zone = clock.tzinfo or UTC
    moment = datetime.combine(now.astimezone(zone).date(), clock.replace(tzinfo=zone))
    return moment if moment <= now else moment - timedelta(days=1)
