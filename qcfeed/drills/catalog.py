"""Every drill: what it breaks, what is to be seen of it, and how long it lasts unless somebody says."""

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
from qcfeed.drills.base import Drill, Stage
from qcfeed.drills.memory_growth import MemoryGrowth
from qcfeed.drills.replaced_factory import ReplacedFactory
from qcfeed.errors import ConfigError

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One drill. ``alerts``: those that it makes fire when it lasts; ``shows``: where else it is seen.

    ``number``: what ``NAME=N`` gives, ``usual`` unless it is given, from ``least`` to ``most``; None
    where there is nothing to give. ``lasts`` is in seconds.
    """

    name: str
    breaks: str
    make: Callable[[Stage, float], Drill]
    alerts: tuple[str, ...] = ()
    shows: str = ""
    number: str | None = None
    usual: float = 0
    least: float = 0
    most: float = 0
    lasts: float = 15 * MINUTE


@dataclass(frozen=True, slots=True)
class Order:
    """A drill as somebody asked for it."""

    kind: Kind
    number: float

    def __str__(self) -> str:
        given = self.kind.number is not None and self.number != self.kind.usual
        return f"{self.kind.name}={self.number:.0f}" if given else self.kind.name


KINDS: tuple[Kind, ...] = (
    Kind(
        "zombie-feeds",
        "the feed manager leaks a task for every subscription: the incident",
        zombies.ZombieFeeds,
        alerts=("QcfeedOrphanedTasks",),
        shows="qcfeed orphans",
        number="zombies at once",
        most=1_000_000,
        lasts=60 * MINUTE,
    ),
    Kind(
        "zombie-growth",
        "the same leak at the incident's pace, minute by minute",
        zombies.ZombieGrowth,
        alerts=("QcfeedTaskGrowth", "QcfeedOrphanedTasks"),
        shows="qcfeed tasks --window 5s",
        number="zombies a minute",
        usual=600,
        least=1,
        most=60_000,
    ),
    Kind(
        "lost-readers",
        "connections end and their subscriptions stay",
        lost_subscribers.LostReaders,
        alerts=("QcfeedOrphanedSubscriptions",),
        shows="qcfeed orphans",
        number="subscriptions",
        usual=100,
        least=1,
        most=100_000,
    ),
    Kind(
        "silent-upstream",
        "the upstream is connected and sends nothing",
        upstream_faults.SilentUpstream,
        alerts=("QcfeedQuotesStale", "QcfeedQuotesDead"),
        shows="qcfeed feeds",
        lasts=30 * MINUTE,
    ),
    Kind(
        "flapping-upstream",
        "every connection to the upstream is lost as soon as it stands",
        upstream_faults.FlappingUpstream,
        alerts=("QcfeedUpstreamDown", "QcfeedQuotesStale"),
        shows="qcfeed feeds -o wide",
    ),
    Kind(
        "rubbish-upstream",
        "the upstream sends what is no quote; nothing of it reaches a subscriber",
        upstream_faults.RubbishUpstream,
        alerts=("QcfeedQuotesStale", "QcfeedQuotesDead"),
        shows="qcfeed feeds -o wide",
        lasts=30 * MINUTE,
    ),
    Kind(
        "stuck-loop",
        "a call blocks the service's loop, again and again",
        stuck_loop.StuckLoop,
        alerts=("QcfeedLoopLag", "QcfeedTargetMissing"),
        shows="qcfeed stacks",
        number="seconds of each blow",
        usual=2,
        least=1,
        most=30,
    ),
    Kind(
        "slow-consumers",
        "subscribers read more slowly than their quotes come",
        client_faults.SlowConsumers,
        alerts=("QcfeedSlowConsumers",),
        shows="qcfeed subscribers --slow",
        number="subscribers",
        usual=10,
        least=1,
        most=1_000,
    ),
    Kind(
        "half-open-consumers",
        "subscribers are gone without a word; the service ends them itself",
        client_faults.HalfOpenConsumers,
        shows="qcfeed subscribers",
        number="subscribers",
        usual=10,
        least=1,
        most=1_000,
    ),
    Kind(
        "subscribe-storm",
        "clients come, subscribe and go faster than they may",
        client_faults.SubscribeStorm,
        shows="qcfeed tasks --window 5s",
        number="subscriptions a second",
        usual=5_000,
        least=1,
        most=50_000,
    ),
    Kind(
        "memory-growth",
        "memory grows and no task with it; the limit told is lowered, 256 MiB at most are held",
        MemoryGrowth,
        alerts=("QcfeedMemoryRunsOut", "QcfeedMemoryRunsOutSoon", "QcfeedMemoryHigh"),
        shows="qcfeed diagnose",
        number="MiB a minute",
        usual=20,
        least=1,
        most=60_000,
        lasts=30 * MINUTE,
    ),
    Kind(
        "replaced-factory",
        "a library replaces the loop's task factory: new tasks are not recorded, and some leak",
        ReplacedFactory,
        alerts=("QcfeedLedgerIncomplete",),
        shows="qcfeed status",
        number="leaked tasks",
        usual=500,
        least=1,
        most=10_000,
    ),
    Kind(
        "clock-jump",
        "the wall clock jumps by an hour; nothing but the times of quotes may show it",
        clock_jump.ClockJump,
        alerts=("QcfeedDrillLeftOn",),
        shows="qcfeed watch AAPL",
        number="seconds",
        usual=3_600,
        least=-31_536_000,
        most=31_536_000,
        lasts=90 * MINUTE,
    ),
)


def parse(text: str) -> Order:
    """The drill that ``NAME`` or ``NAME=N`` asks for. Raises ConfigError."""
    name, _, number = text.partition("=")
    kind = next((each for each in KINDS if each.name == name), None)
    if kind is None:
        raise ConfigError(
            f"there is no drill {text!r}", hint=f"one of {', '.join(each.name for each in KINDS)}"
        )
    if not _:
        return Order(kind, kind.usual)
    digits = number.removeprefix("-")
    value = float(number) if digits.isascii() and digits.isdecimal() else None
    if kind.number is None:
        raise ConfigError(f"the drill {name} takes no number", hint=f"say {name}")
    if value is None or not kind.least <= value <= kind.most:
        raise ConfigError(
            f"{text!r} is no drill: N is {kind.number}, from {kind.least:,.0f} to {kind.most:,.0f}",
            hint=f"{name}, or {name}=N",
        )
    return Order(kind, value)
