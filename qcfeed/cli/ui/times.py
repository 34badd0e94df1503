"""Times as people write them: ``02:15``, ``2024-03-20T02:15``, with or without a zone; UTC without."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

import typer

_CLOCK = re.compile(
    r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII | re.IGNORECASE
)


def parse(text: str) -> float:
    """Unix seconds. Raises typer.BadParameter for what is no time, or is still to come."""
    return resolve(text, datetime.now(UTC))


def resolve(text: str, now: datetime) -> float:
    """As ``parse``, at ``now``. A time of day alone is the last one that has been."""
    written = text.strip().upper()
    try:
        if _CLOCK.fullmatch(written):
            return _last(time.fromisoformat(written.zfill(_width(written))), now).timestamp()
        moment = datetime.fromisoformat(written)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a time; for example 02:15, 2024-03-20T02:15, 2024-03-20T02:15+01:00"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > now:
        raise typer.BadParameter(f"{text!r} is still to come: it is {now:%Y-%m-%dT%H:%M:%SZ}")
    return moment.timestamp()


def _width(written: str) -> int:
    """Its length with an hour of two digits: ``2:15`` is ``02:15``."""
    return len(written) + (written.index(":") == 1)


def _last(clock: time, now: datetime) -> datetime:
    zone = clock.tzinfo or UTC
    moment = datetime.combine(now.astimezone(zone).date(), clock.replace(tzinfo=zone))
    return moment if moment <= now else moment - timedelta(days=1)
