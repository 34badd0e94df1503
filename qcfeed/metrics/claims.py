"""What an alert said of memory's growth, held against what the samples say. Pure.

The incident's said "+450 MB/hour", and everybody took its four hours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from qcfeed.formats import age, unit
from qcfeed.metrics import growth
from qcfeed.metrics.growth import Point, Window

TOLERANCE = 0.1
"""How far a window's rate may be off a claimed one and be its source."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_RATE = re.compile(
    r"(?P<number>[+-]?\d[\d,]*(?:\.\d+)?)\s*(?P<power>[kmgt]?)(?P<binary>i?)b(?:ytes)?"
    r"\s*(?:/|\bper\b|\ban?\b)\s*(?P<time>s(?:ec(?:ond)?)?|m(?:in(?:ute)?)?|h(?:r|our)?|d(?:ay)?)\b",
    re.IGNORECASE,
)


class Claim(NamedTuple):
    """``alert`` said ``text``: that memory grows by so many bytes an hour. A person's has no alert."""

    alert: str
    text: str
    bytes_per_hour: float


class CheckedClaim(NamedTuple):
    """A claim held against the samples. ``time_to_limit_s``: what it would mean.

    ``averaged_s``: over how long one has to average to get it, None if no time here does;
    ``slower``: how many times faster the worst window grows; ``why``: all that in words.
    """

    claim: Claim
    time_to_limit_s: float | None
    averaged_s: float | None
    slower: float | None
    why: str


def rate(text: str) -> float | None:
    """Bytes an hour, from the first such rate in a text: ``+450 MB/hour``; None without one.

    KB, MB and GB are powers of 1,000, KiB, MiB and GiB of 1,024.
    """
    match = _RATE.search(text)
    if match is None:
        return None
    number = float(match["number"].replace(",", ""))
    scale = unit(match["power"], binary=bool(match["binary"]))
    return number * scale * 3_600 / _SECONDS[match["time"][0].lower()]


def claims(alert: str, texts: Sequence[str]) -> list[Claim]:
    """The first rate that an alert's texts name, with the sentence that it stands in."""
    for text in texts:
        for line in text.splitlines():
            found = rate(line)
            if found is not None:
                return [Claim(alert, line.strip(), found)]
    return []


def check(
    claim: Claim, points: Sequence[Point], found: Sequence[Window], limit: float | None
) -> CheckedClaim:
    """Hold a claim against the samples of ``growth.windows``."""
    held = [(p.at, p.memory) for p in growth.since_restart(points) if p.memory is not None]
    worst = growth.worst(found)
    fastest = None if worst is None else worst.memory_bytes_per_hour
    claimed = claim.bytes_per_hour
    averaged = _averaged(held, claimed)
    return CheckedClaim(
        claim,
        growth.time_to(limit, held[-1][1], claimed / 3_600) if held else None,
        averaged,
        fastest / claimed if fastest and claimed > 0 else None,
        _why(held, claimed, averaged, found),
    )


def _averaged(held: Sequence[tuple[float, float]], claimed: float) -> float | None:
    """The shortest time over which memory grew, end to end, no faster than claimed."""
    if not held:
        return None
    last, now = held[-1]
    for at, then in reversed(held[:-1]):
        if (now - then) / (last - at) * 3_600 <= claimed:
            return last - at
    return None


def _why(
    held: Sequence[tuple[float, float]],
    claimed: float,
    averaged: float | None,
    found: Sequence[Window],
) -> str:
    if claimed <= 0 or not held:
        return "there is nothing here to hold it against"
    near = [
        w.window for w in found if abs((w.memory_bytes_per_hour or 0.0) / claimed - 1) <= TOLERANCE
    ]
    if near:
        return f"it is what the window {near[0]} says"
    if averaged is not None:
        return f"it takes an average over the last {age(averaged)} to get it"
    grown = held[-1][1] - held[0][1]
    if grown <= 0:
        return "no window here gives it"
    return (
        "no window here gives it; it takes an average over"
        f" {age(grown / claimed * 3_600)}, with memory flat before these samples began"
    )
