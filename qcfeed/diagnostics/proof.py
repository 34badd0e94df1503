"""Whether a fix holds: judges repeated samples of one spawn location. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from qcfeed.diagnostics.trend import trend

PARTS = 3
"""Parts into which the time is divided; the lowest numbers of the first and last are compared."""
MIN_SAMPLES = 2 * PARTS


class LocationSample(NamedTuple):
    """The location's counts at one time."""

    live: int
    spawned: int
    orphaned: int


class ProofOutcome(StrEnum):
    """``UNPROVEN``: no sign of a leak, but too few samples or tasks to be sure."""

    HOLDS = "holds"
    LEAKS = "leaks"
    UNPROVEN = "unproven"


@dataclass(slots=True)
class Proof:
    """The result and its reasons.

    ``spawned``: tasks created meanwhile. ``growth``: by how much the lowest number of live tasks rose,
    from the first third of the time to the last.
    """

    outcome: ProofOutcome
    reasons: list[str] = field(default_factory=list)
    spawned: int = 0
    live_first: int = 0
    live_last: int = 0
    growth: int = 0
    orphaned: int = 0


def judge(samples: Sequence[LocationSample], min_spawned: int) -> Proof:
    """Judge evenly spaced samples.

    The location leaks if both of the last two samples have orphans, or if the lowest number of live
    tasks rose from the first third of the time to the last by more than one and by more than the
    number usually fluctuates. The fix holds if the location does not leak and at least ``min_spawned``
    tasks were created meanwhile.

    A leak that is smaller than the fluctuation is not seen: with N tasks that come and go, about four
    times the square root of N. With more time the leak grows, and the fluctuation does not.
    """
    if not samples:
        return Proof(ProofOutcome.UNPROVEN, ["there is no sample yet"])
    first, last = samples[0], samples[-1]
    proof = Proof(
        ProofOutcome.HOLDS,
        spawned=last.spawned - first.spawned,
        live_first=first.live,
        live_last=last.live,
        orphaned=min(sample.orphaned for sample in samples[-2:]),
    )
    if proof.orphaned:
        proof.outcome = ProofOutcome.LEAKS
        proof.reasons.append(f"{proof.orphaned:,} orphaned: alive though the owner is gone")
    seen = trend([sample.live for sample in samples], PARTS)
    if seen is not None and len(samples) >= MIN_SAMPLES:
        proof.growth = seen.growth
        if seen.growth > 1 + seen.spread:
            proof.outcome = ProofOutcome.LEAKS
            proof.reasons.append(f"live tasks grew: the lowest number rose by {seen.growth:,}")
    if proof.outcome is ProofOutcome.HOLDS:
        proof.reasons = _too_little(len(samples), proof.spawned, min_spawned)
        proof.outcome = ProofOutcome.UNPROVEN if proof.reasons else ProofOutcome.HOLDS
    return proof


def _too_little(samples: int, spawned: int, min_spawned: int) -> list[str]:
    reasons = []
    if spawned < min_spawned:
        reasons.append(
            f"too little traffic to tell: {spawned:,} tasks created, {min_spawned:,} needed"
        )
    if samples < MIN_SAMPLES:
        reasons.append(f"too short to tell: {samples} samples, {MIN_SAMPLES} needed")
    return reasons
