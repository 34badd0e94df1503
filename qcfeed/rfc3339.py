"""Converts between Unix times and the times in answers and files: RFC 3339 in UTC, ``2024-03-20T02:15:00Z``."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(at: float) -> str:
    """A Unix time, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(at: float) -> str:
    """A Unix time, to the millisecond."""
    return _utc(datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"))


def now() -> str:
    """The time now, to the microsecond."""
    return _utc(datetime.now(UTC).isoformat(timespec="microseconds"))


def unix(text: str) -> float:
    """The Unix time of a text. Raises ValueError if it is not a time."""
    return datetime.fromisoformat(text).timestamp()


def _utc(text: str) -> str:
    return text.replace("+00:00", "Z")
