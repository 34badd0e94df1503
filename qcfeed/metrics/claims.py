"""Checks growth rates that alerts claimed against the samples. Pure.

The incident's alert said "+450 MB/hour", and everybody believed that four hours were left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from qcfeed.formats import age, unit
from qcfeed.metrics import growth, urgency
from qcfeed.metrics.growth import GrowthWindow, Point

TOLERANCE = 0.1
"""Relative difference up to which a window's rate explains a claimed rate."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_RATE = re.compile(
    r"(?P<number>[+-]?\d[\d,]*(?:\.\d+)?)\s*(?P<power>[kmgt]?)(?P<binary>i?)b(?:ytes)?"
    r"\s*(?:/|\bper\b|\ban?\b)\s*(?P<time>s(?:ec(?:ond)?)?|m(?:in(?:ute)?)?|h(?:r|our)?|d(?:ay)?)\b",
    re.IGNORECASE,
)


class Claim(NamedTuple):
    """A claimed growth rate of memory: ``alert`` (empty for a person's claim) said ``text``."""

    alert: str
    text: str
    bytes_per_hour: float


class CheckedClaim(NamedTuple):
    """A claim compared with the samples.

    ``time_to_limit_s``: time to the memory limit at the claimed rate. ``averaged_s``: the length of the
    average that gives the claimed rate; None if none does. ``slower``: how many times faster memory
    grows in the worst window. ``why``: the explanation in words.
    """

    claim: Claim
    time_to_limit_s: float | None
    averaged_s: float | None
    slower: float | None
    why: str


def rate(text: str) -> float | None:
    """Bytes per hour of the first growth rate in a text (``+450 MB/hour``); None if there is none.

    KB, MB and GB are powers of 1,000; KiB, MiB and GiB of 1,024.
    """
    match = _RATE.search(text)
    if match is None:
        return None
    number = float(match["number"].replace(",", ""))
    scale = unit(match["power"], binary=bool(match["binary"]))
    return number * scale * 3_600 / _SECONDS[match["time"][0].lower()]


def claims(alert: str, texts: Sequence[str]) -> list[Claim]:
    """The first growth rate in an alert's annotations, with its line."""
    for text in texts:
        for line in text.splitlines():
            found = rate(line)
            if found is not None:
                return [Claim(alert, line.strip(), found)]
    return []


def check(
    claim: Claim, points: Sequence[Point], found: Sequence[GrowthWindow], limit: float | None
) -> CheckedClaim:
    """Compare a claim with the samples and the windows of ``growth.windows``."""
    held = [(p.at, p.memory) for p in growth.since_restart(points) if p.memory is not None]
    worst = urgency.worst(found)
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
    """The shortest time, until the last sample, over which memory grew no faster than claimed."""
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
    found: Sequence[GrowthWindow],
) -> str:
    if claimed <= 0 or not held:
        return "there are no samples to compare it with"
    near = [
        w.window for w in found if abs((w.memory_bytes_per_hour or 0.0) / claimed - 1) <= TOLERANCE
    ]
    if near:
        return f"it is the rate of the window {near[0]}"
    if averaged is not None:
        return f"it is the average rate over the last {age(averaged)}"
    grown = held[-1][1] - held[0][1]
    if grown <= 0:
        return "no window has this rate"
    return (
        "no window has this rate; it would be the average over"
        f" {age(grown / claimed * 3_600)} if memory had been flat before these samples"
    )
