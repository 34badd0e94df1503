"""What a tracked service is told to be: its verdict and the time left, in the same words everywhere. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from qcfeed.diagnose.verdict import HEALTHY, headline
from qcfeed.formats import age
from qcfeed.metrics.growth import MIN_SAMPLES
from qcfeed.metrics.growth_answer import in_words
from qcfeed.model import thresholds
from qcfeed.observe.tracker import ServiceHealth, Tracked

COLLECTING = "collecting: a diagnosis needs two snapshots"


class Tone(StrEnum):
    """How something stands: a finding, a reason to look again, or neither."""

    BAD = "bad"
    WATCH = "watch"
    GOOD = "good"
    PLAIN = "plain"


class Said(NamedTuple):
    text: str
    tone: Tone


def verdict(tracked: Tracked) -> Said:
    """The headline of `qcfeed diagnose`, or what is newer than the diagnosis."""
    if tracked.health is None:
        return Said(COLLECTING, Tone.PLAIN)
    diagnosis = tracked.health.diagnosis
    if diagnosis.findings:
        return Said(headline(diagnosis.findings[0]), Tone.BAD)
    if tracked.process.totals.incomplete:
        reason = tracked.process.totals.incomplete[0].partition(": ")[0]
        return Said(f"INCOMPLETE  {reason}", Tone.BAD)
    return Said(diagnosis.headline, Tone.GOOD if diagnosis.verdict == HEALTHY else Tone.WATCH)


def stuck(seconds: float) -> str:
    """The headline of a loop that does not run."""
    return f"STUCK  the loop has been stuck for {age(seconds)}; actions will wait"


def drill(name: str) -> str:
    """The headline of a running drill."""
    return f"DRILL  {name} is active: a fault was injected on purpose"


def time_left(health: ServiceHealth | None) -> Said:
    """The time to the memory limit by the worst window, like `qcfeed growth`; empty if nothing is known."""
    if health is None or not health.memory:
        return Said("", Tone.PLAIN)
    worst = health.worst
    if len(health.memory) < MIN_SAMPLES:
        return Said("too few samples for its growth", Tone.PLAIN)
    if worst is None or worst.time_to_limit_s is None:
        return Said(f"no steady growth in {age(health.seconds)}", Tone.PLAIN)
    left = worst.time_to_limit_s
    tone = Tone.BAD if left <= thresholds.MEMORY_LEFT_S else Tone.PLAIN
    return Said(f"{age(left)} left, {in_words(worst.window)}", tone)
