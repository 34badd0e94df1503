"""Does a fix hold? One spawn location, looked at again and again, and what that proves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from qcfeed.diagnostics.trend import trend

PARTS = 3
MIN_SAMPLES = 2 * PARTS


class Sample(NamedTuple):
    """The location's counts at one time."""

    live: int
    spawned: int
    orphaned: int


class ProofOutcome(StrEnum):
    """``UNPROVEN``: nothing speaks against the fix, but there was too little to judge by."""

    HOLDS = "holds"
    LEAKS = "leaks"
    UNPROVEN = "unproven"


@dataclass(slots=True)
class Proof:
    """What is proven, and why. ``growth``: of the live tasks' low points, first third to last."""

    outcome: ProofOutcome
    reasons: list[str] = field(default_factory=list)
    births: int = 0
    live_first: int = 0
    live_last: int = 0
    growth: int = 0
    orphaned: int = 0


def judge(samples: Sequence[Sample], min_births: int) -> Proof:
    """What evenly spaced samples prove.

    It leaks when the last two samples both have orphans, or when the lows of the live count rose
    from the first third to the last by more than one and by more than the count goes up and down
    anyway. It holds when it does not leak and at least ``min_births`` tasks were born meanwhile.

    It cannot see a leak smaller than that noise: of N tasks that come and go, some four times the
    root of N. More time makes the leak larger and the noise no larger.
    """
    if not samples:
        return Proof(ProofOutcome.UNPROVEN, ["there is no sample yet"])
    first, last = samples[0], samples[-1]
    proof = Proof(
        ProofOutcome.HOLDS,
        births=last.spawned - first.spawned,
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
            proof.reasons.append(f"live tasks grew: their low rose by {seen.growth:,}")
    if proof.outcome is ProofOutcome.HOLDS:
        proof.reasons = _too_little(len(samples), proof.births, min_births)
        proof.outcome = ProofOutcome.UNPROVEN if proof.reasons else ProofOutcome.HOLDS
    return proof


def _too_little(samples: int, births: int, min_births: int) -> list[str]:
    reasons = []
    if births < min_births:
        reasons.append(f"too little traffic to tell: {births:,} born, {min_births:,} are needed")
    if samples < MIN_SAMPLES:
        reasons.append(f"too short to tell: {samples} looks, {MIN_SAMPLES} are needed")
    return reasons
