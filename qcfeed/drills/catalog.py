"""All drills: what each breaks, how it shows, and how long it lasts by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qcfeed.errors import ConfigError, not_found

if TYPE_CHECKING:
    from qcfeed.model.drills import AvailableDrill

MINUTE = 60.0
GATEWAY, FEEDER, STANDBY = "gateway", "feeder", "standby"
"""Roles in a cluster on NATS. A standby is a feeder beside the one that owns its share."""
WORKER = "worker"
"""A process of ``serve --workers``."""


@dataclass(frozen=True, slots=True)
class DrillSpec:
    """One kind of drill. ``alerts``: the alerts that fire if it lasts; ``shows``: a command that shows it.

    ``number``: the meaning of N in ``NAME=N``, which ranges from ``minimum`` to ``maximum``; None if the
    drill takes no number. ``duration``: the default, in seconds. ``role``: GATEWAY, FEEDER,
    STANDBY or WORKER if only such a service can run it.
    """

    name: str
    breaks: str
    alerts: tuple[str, ...] = ()
    shows: str = ""
    number: str | None = None
    default: float = 0
    minimum: float = 0
    maximum: float = 0
    duration: float = 15 * MINUTE
    role: str = ""


@dataclass(frozen=True, slots=True)
class ConfiguredDrill:
    """A drill with its number, as requested."""

    spec: DrillSpec
    number: float

    def __str__(self) -> str:
        given = self.spec.number is not None and self.number != self.spec.default
        return f"{self.spec.name}={self.number:.0f}" if given else self.spec.name


DRILLS: tuple[DrillSpec, ...] = (
    DrillSpec(
        "zombie-feeds",
        "the feed manager leaks a task for every subscription, as in the incident",
        alerts=("QcfeedOrphanedTasks",),
        shows="qcfeed orphans",
        number="zombies to create at once",
        maximum=1_000_000,
        duration=60 * MINUTE,
    ),
    DrillSpec(
        "zombie-growth",
        "the same leak, growing at the incident's rate",
        alerts=("QcfeedTaskGrowth", "QcfeedOrphanedTasks"),
        shows="qcfeed tasks --window 5s",
        number="zombies per minute",
        default=600,
        minimum=1,
        maximum=60_000,
    ),
    DrillSpec(
        "lost-readers",
        "connections close but their subscriptions stay",
        alerts=("QcfeedOrphanedSubscriptions",),
        shows="qcfeed orphans",
        number="subscriptions",
        default=100,
        minimum=1,
        maximum=100_000,
    ),
    DrillSpec(
        "silent-upstream",
        "the upstream is connected but sends nothing",
        alerts=("QcfeedQuotesStale", "QcfeedQuotesDead"),
        shows="qcfeed feeds",
        duration=30 * MINUTE,
    ),
    DrillSpec(
        "flapping-upstream",
        "every connection to the upstream is lost right after it opens",
        alerts=("QcfeedUpstreamDown", "QcfeedQuotesStale"),
        shows="qcfeed feeds -o wide",
    ),
    DrillSpec(
        "rubbish-upstream",
        "the upstream sends invalid quotes; none of them reaches a subscriber",
        alerts=("QcfeedQuotesStale", "QcfeedQuotesDead"),
        shows="qcfeed feeds -o wide",
        duration=30 * MINUTE,
    ),
    DrillSpec(
        "stuck-loop",
        "a blocking call stalls the service's loop again and again",
        alerts=("QcfeedLoopLag", "QcfeedTargetMissing"),
        shows="qcfeed stacks",
        number="seconds per blocking call",
        default=2,
        minimum=1,
        maximum=30,
    ),
    DrillSpec(
        "slow-consumers",
        "subscribers read more slowly than quotes arrive",
        alerts=("QcfeedSlowConsumers",),
        shows="qcfeed subscribers --slow",
        number="subscribers",
        default=10,
        minimum=1,
        maximum=1_000,
    ),
    DrillSpec(
        "half-open-consumers",
        "subscribers vanish without closing; the service times them out",
        shows="qcfeed subscribers",
        number="subscribers",
        default=10,
        minimum=1,
        maximum=1_000,
    ),
    DrillSpec(
        "subscribe-storm",
        "clients connect, subscribe and leave faster than the limit allows",
        shows="qcfeed tasks --window 5s",
        number="subscriptions per second",
        default=5_000,
        minimum=1,
        maximum=50_000,
    ),
    DrillSpec(
        "refused-authentications",
        "a client presents wrong API keys again and again",
        alerts=("QcfeedAuthenticationFails",),
        shows="qcfeed status",
        number="wrong keys per second",
        default=20,
        minimum=1,
        maximum=1_000,
    ),
    DrillSpec(
        "memory-growth",
        "memory grows without new tasks, by at most 256 MiB; the reported limit is lowered",
        alerts=("QcfeedMemoryRunsOut", "QcfeedMemoryRunsOutSoon", "QcfeedMemoryHigh"),
        shows="qcfeed diagnose",
        number="MiB per minute",
        default=20,
        minimum=1,
        maximum=60_000,
        duration=30 * MINUTE,
    ),
    DrillSpec(
        "replaced-factory",
        "a library replaces the loop's task factory: new tasks are not recorded, and some leak",
        alerts=("QcfeedLedgerIncomplete",),
        shows="qcfeed status",
        number="tasks to leak",
        default=500,
        minimum=1,
        maximum=10_000,
    ),
    DrillSpec(
        "clock-jump",
        "the wall clock jumps by an hour; only the timestamps of quotes may change",
        alerts=("QcfeedDrillLeftOn",),
        shows="qcfeed watch AAPL",
        number="seconds to jump",
        default=3_600,
        minimum=-31_536_000,
        maximum=31_536_000,
        duration=90 * MINUTE,
    ),
    DrillSpec(
        "lost-broker",
        "the connection to NATS is lost, and none can be opened",
        alerts=("QcfeedBrokerAway",),
        shows="qcfeed status",
        role=GATEWAY,
    ),
    DrillSpec(
        "lost-owner",
        "nothing of any owner of the symbols is heard on NATS",
        alerts=("QcfeedNoOwner",),
        shows="qcfeed status",
        role=GATEWAY,
    ),
    DrillSpec(
        "flapping-broker",
        "the connection to NATS is lost again and again",
        alerts=("QcfeedBrokerUnstable",),
        shows="qcfeed status",
        number="seconds between two losses",
        default=3,
        minimum=1,
        maximum=600,
        role=GATEWAY,
    ),
    DrillSpec(
        "former-owner",
        "a feeder that is no longer the owner still publishes; gateways reject its quotes",
        alerts=("QcfeedFormerOwner",),
        shows="qcfeed status",
        role=GATEWAY,
    ),
    DrillSpec(
        "leaked-interest",
        "subscriptions on NATS stay when nobody subscribes any more, and the owner's feeds with them",
        alerts=("QcfeedInterestLeaked",),
        shows="qcfeed --cluster orphans",
        role=GATEWAY,
    ),
    DrillSpec(
        "slow-gateway",
        "quotes arrive from NATS faster than the gateway reads them",
        alerts=("QcfeedGatewayLags",),
        shows="qcfeed status",
        role=GATEWAY,
    ),
    DrillSpec(
        "missed-renewals",
        "every other renewal of a feeder's lease is lost",
        alerts=("QcfeedRenewalsMissed",),
        shows="qcfeed status",
        role=FEEDER,
    ),
    DrillSpec(
        "refused-feeds",
        "gateways want symbols whose feeds the owner cannot open at its upstream",
        alerts=("QcfeedInterestWithoutFeed",),
        shows="qcfeed feeds -o wide",
        duration=30 * MINUTE,
        role=FEEDER,
    ),
    DrillSpec(
        "unheard-gateways",
        "the owner hears no gateway, so it runs feeds for subscribers that it does not know",
        alerts=("QcfeedFeedWithoutInterest",),
        shows="qcfeed --cluster orphans",
        duration=30 * MINUTE,
        role=FEEDER,
    ),
    DrillSpec(
        "second-owner",
        "a standby believes that it owns its share, and publishes; gateways reject its quotes",
        alerts=("QcfeedTwoOwners", "QcfeedFormerOwner"),
        shows="qcfeed --cluster diagnose",
        role=STANDBY,
    ),
    DrillSpec(
        "crashed-worker",
        "a process of serve --workers is killed, and loses all its connections",
        alerts=("QcfeedWorkersRestart",),
        shows="qcfeed diagnose",
        role=WORKER,
    ),
)


def described() -> list[AvailableDrill]:
    """All drills as answers list them."""
    from qcfeed.model.drills import AvailableDrill  # imported here: completion needs only the names

    return [
        AvailableDrill(
            name=spec.name,
            breaks=spec.breaks,
            alert_names=list(spec.alerts),
            shows=spec.shows,
            number=spec.number,
            default_number=None if spec.number is None else spec.default,
            duration_s=spec.duration,
        )
        for spec in DRILLS
    ]


def parse(text: str) -> ConfiguredDrill:
    """Parse ``NAME`` or ``NAME=N``. Raises NotFoundError for an unknown drill, ConfigError for the number."""
    name, _, number = text.partition("=")
    spec = next((each for each in DRILLS if each.name == name), None)
    if spec is None:
        names = [each.name for each in DRILLS]
        raise not_found("drill", repr(name), hint="`qcfeed drill list` lists them", known=names)
    if not _:
        return ConfiguredDrill(spec, spec.default)
    digits = number.removeprefix("-")
    value = float(number) if digits.isascii() and digits.isdecimal() else None
    if spec.number is None:
        raise ConfigError(f"the drill {name} takes no number", hint=f"use {name}")
    if value is None or not spec.minimum <= value <= spec.maximum:
        raise ConfigError(
            f"invalid drill {text!r}: N is the {spec.number},"
            f" from {spec.minimum:,.0f} to {spec.maximum:,.0f}",
            hint=f"{name}, or {name}=N",
        )
    return ConfiguredDrill(spec, value)
