"""Every drill: what it breaks, what is to be seen of it, and how long it duration unless somebody says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qcfeed.drills import (
    client_faults,
    clock_jump,
    lost_subscribers,
    stuck_loop,
    upstream_faults,
    zombies,
)
from qcfeed.drills.base import Drill, DrillEnvironment
from qcfeed.drills.memory_growth import MemoryGrowth
from qcfeed.drills.replaced_factory import ReplacedFactory
from qcfeed.errors import ConfigError

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class DrillSpec:
    """One drill. ``alerts``: those that it makes fire when it duration; ``shows``: where else it is seen.

    ``number``: what ``NAME=N`` gives, ``default`` unless it is given, from ``minimum`` to ``maximum``; None
    where there is nothing to give. ``duration`` is in seconds.
    """

    name: str
    breaks: str
    factory: Callable[[DrillEnvironment, float], Drill]
    alerts: tuple[str, ...] = ()
    shows: str = ""
    number: str | None = None
    default: float = 0
    minimum: float = 0
    maximum: float = 0
    duration: float = 15 * MINUTE


@dataclass(frozen=True, slots=True)
class ConfiguredDrill:
    """A drill as somebody asked for it."""

    spec: DrillSpec
    number: float

    def __str__(self) -> str:
        given = self.spec.number is not None and self.number != self.spec.default
        return f"{self.spec.name}={self.number:.0f}" if given else self.spec.name


DRILLS: tuple[DrillSpec, ...] = (
    DrillSpec(
        "zombie-feeds",
        "the feed manager leaks a task for every subscription: the incident",
        zombies.ZombieFeeds,
        alerts=("QcfeedOrphanedTasks",),
        shows="qcfeed orphans",
        number="zombies at once",
        maximum=1_000_000,
        duration=60 * MINUTE,
    ),
    DrillSpec(
        "zombie-growth",
        "the same leak at the incident's pace, minute by minute",
        zombies.ZombieGrowth,
        alerts=("QcfeedTaskGrowth", "QcfeedOrphanedTasks"),
        shows="qcfeed tasks --window 5s",
        number="zombies a minute",
        default=600,
        minimum=1,
        maximum=60_000,
    ),
    DrillSpec(
        "lost-readers",
        "connections end and their subscriptions stay",
        lost_subscribers.LostSubscribers,
        alerts=("QcfeedOrphanedSubscriptions",),
        shows="qcfeed orphans",
        number="subscriptions",
        default=100,
        minimum=1,
        maximum=100_000,
    ),
    DrillSpec(
        "silent-upstream",
        "the upstream is connected and sends nothing",
        upstream_faults.SilentUpstream,
        alerts=("QcfeedQuotesStale", "QcfeedQuotesDead"),
        shows="qcfeed feeds",
        duration=30 * MINUTE,
    ),
    DrillSpec(
        "flapping-upstream",
        "every connection to the upstream is lost as soon as it stands",
        upstream_faults.FlappingUpstream,
        alerts=("QcfeedUpstreamDown", "QcfeedQuotesStale"),
        shows="qcfeed feeds -o wide",
    ),
    DrillSpec(
        "rubbish-upstream",
        "the upstream sends what is no quote; nothing of it reaches a subscriber",
        upstream_faults.RubbishUpstream,
        alerts=("QcfeedQuotesStale", "QcfeedQuotesDead"),
        shows="qcfeed feeds -o wide",
        duration=30 * MINUTE,
    ),
    DrillSpec(
        "stuck-loop",
        "a call blocks the service's loop, again and again",
        stuck_loop.StuckLoop,
        alerts=("QcfeedLoopLag", "QcfeedTargetMissing"),
        shows="qcfeed stacks",
        number="seconds of each blow",
        default=2,
        minimum=1,
        maximum=30,
    ),
    DrillSpec(
        "slow-consumers",
        "subscribers read more slowly than their quotes come",
        client_faults.SlowConsumers,
        alerts=("QcfeedSlowConsumers",),
        shows="qcfeed subscribers --slow",
        number="subscribers",
        default=10,
        minimum=1,
        maximum=1_000,
    ),
    DrillSpec(
        "half-open-consumers",
        "subscribers are gone without a word; the service ends them itself",
        client_faults.HalfOpenConsumers,
        shows="qcfeed subscribers",
        number="subscribers",
        default=10,
        minimum=1,
        maximum=1_000,
    ),
    DrillSpec(
        "subscribe-storm",
        "clients come, subscribe and go faster than they may",
        client_faults.SubscribeStorm,
        shows="qcfeed tasks --window 5s",
        number="subscriptions a second",
        default=5_000,
        minimum=1,
        maximum=50_000,
    ),
    DrillSpec(
        "memory-growth",
        "memory grows and no task with it; the limit told is lowered, 256 MiB at maximum are held",
        MemoryGrowth,
        alerts=("QcfeedMemoryRunsOut", "QcfeedMemoryRunsOutSoon", "QcfeedMemoryHigh"),
        shows="qcfeed diagnose",
        number="MiB a minute",
        default=20,
        minimum=1,
        maximum=60_000,
        duration=30 * MINUTE,
    ),
    DrillSpec(
        "replaced-factory",
        "a library replaces the loop's task factory: new tasks are not recorded, and some leak",
        ReplacedFactory,
        alerts=("QcfeedLedgerIncomplete",),
        shows="qcfeed status",
        number="leaked tasks",
        default=500,
        minimum=1,
        maximum=10_000,
    ),
    DrillSpec(
        "clock-jump",
        "the wall clock jumps by an hour; nothing but the times of quotes may show it",
        clock_jump.ClockJump,
        alerts=("QcfeedDrillLeftOn",),
        shows="qcfeed watch AAPL",
        number="seconds",
        default=3_600,
        minimum=-31_536_000,
        maximum=31_536_000,
        duration=90 * MINUTE,
    ),
)


def parse(text: str) -> ConfiguredDrill:
    """The drill that ``NAME`` or ``NAME=N`` asks for. Raises ConfigError."""
    name, _, number = text.partition("=")
    spec = next((each for each in DRILLS if each.name == name), None)
    if spec is None:
        raise ConfigError(
            f"there is no drill {text!r}", hint=f"one of {', '.join(each.name for each in DRILLS)}"
        )
    if not _:
        return ConfiguredDrill(spec, spec.default)
    digits = number.removeprefix("-")
    value = float(number) if digits.isascii() and digits.isdecimal() else None
    if spec.number is None:
        raise ConfigError(f"the drill {name} takes no number", hint=f"say {name}")
    if value is None or not spec.minimum <= value <= spec.maximum:
        raise ConfigError(
            f"{text!r} is no drill: N is {spec.number}, from {spec.minimum:,.0f} to {spec.maximum:,.0f}",
            hint=f"{name}, or {name}=N",
        )
    return ConfiguredDrill(spec, value)
