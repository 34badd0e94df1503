"""Series on which each alert fires, and series on which it must not: promtool's notation.

``v+sxn``: value v, then n more, each s above the one before; ``vxn``: v and n more of it; ``_xn``: n
scrapes that brought nothing. A sample every 15 s, so four make a minute.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

LABELS = 'job="qcfeed", instance="a:8006"'
MINUTE, HOUR = 4, 240
"""In samples."""
GB = 1_000_000_000
MB = 1_000_000

Values = dict[str, str]
"""What a metric shows, by its name and the labels that it has beside job and instance."""


class Case(NamedTuple):
    """``fires``: minutes at which the alert must be firing; ``quiet``: at which it must not be.

    ``instances``: how many of them it fires for.
    """

    alert: str
    what: str
    series: Values
    fires: tuple[float, ...] = ()
    quiet: tuple[float, ...] = ()
    instances: int = 1


def name(metric: str) -> str:
    """A series' name with every label; an ``instance`` of its own replaces the usual one."""
    plain, _, labels = metric.rstrip("}").partition("{")
    usual = LABELS.partition(", ")[0] if "instance=" in labels else LABELS
    return f"{plain}{{{', '.join(filter(None, (usual, labels)))}}}"


def line(start: float, end: float, samples: int) -> str:
    """``samples`` steps on a straight line from ``start`` towards ``end``, which is not among them."""
    step = (end - start) / samples
    return f"{start:.3f}{step:+.6f}x{samples - 1}"


def lines(*knots: tuple[float, float]) -> str:
    """Straight lines between (minute, value) pairs."""
    parts = [
        line(before, after, round((end - begin) * MINUTE))
        for (begin, before), (end, after) in pairwise(knots)
    ]
    return " ".join([*parts, f"{knots[-1][1]}"])


def flat(value: float, minutes: float = 130) -> str:
    return f"{value}x{round(minutes * MINUTE)}"


LIVE = 'qcfeed_tasks_live{location="market/src/feed.rs:83"}'
RESIDENT, LIMIT = "process_resident_memory_bytes", "qcfeed_memory_limit_bytes"
STARTED = "process_start_time_seconds"

# ---------------------------------------------------------------- the night of 2024-03-20

QUIET_BEFORE = 60
"""Minutes of a sound service before midnight, at what the table says of midnight."""


def incident(*values: float) -> str:
    """The four rows of the incident's table, on straight lines between them, from an hour before."""
    return lines((0, values[0]), *zip((60, 120, 180, 195), values, strict=True))


INCIDENT: Values = {
    LIVE: incident(1_247, 8_923, 24_567, 47_829),
    'qcfeed_feeds{upstream="open"}': incident(342, 892, 892, 892),
    "qcfeed_subscriptions_active": incident(342, 2_891, 8_234, 15_892),
    RESIDENT: incident(2.1 * GB, 3.8 * GB, 7.2 * GB, 14.2 * GB),
    LIMIT: flat(16 * GB, 195),
    STARTED: flat(1_710_800_000, 195),
}
INCIDENT_FROM_MIDNIGHT: Values = {
    LIVE: lines((0, 1_247), (60, 8_923)),
    'qcfeed_feeds{upstream="open"}': flat(342, 60),
}

# ---------------------------------------------------------------- services that are well

STABLE: Values = {
    LIVE: "900 912 905 908 " * 130,
    'qcfeed_feeds{upstream="open"}': flat(892),
    RESIDENT: "4000000000 4060000000 4010000000 4030000000 " * 130,
    LIMIT: flat(16 * GB),
    STARTED: flat(1_710_800_000),
}
"""Busy: GC and clients make it go up and down, and it goes nowhere."""
MORNING: Values = {
    LIVE: lines((0, 20), (20, 20), (80, 912), (130, 912)),
    'qcfeed_feeds{upstream="open"}': lines((0, 0), (20, 0), (80, 892), (130, 892)),
    RESIDENT: lines((0, 0.06 * GB), (20, 0.06 * GB), (80, 0.4 * GB), (130, 0.4 * GB)),
    LIMIT: flat(16 * GB),
    STARTED: flat(1_710_800_000),
}
"""Demand comes within an hour: a feed a symbol, with its task."""
RESTARTED: Values = {
    LIVE: f"{flat(900, 60)} _x4 {lines((0, 10), (2, 900), (70, 900))}",
    'qcfeed_feeds{upstream="open"}': f"{flat(892, 60)} _x4 {lines((0, 0), (2, 892), (70, 892))}",
    RESIDENT: f"{flat(2 * GB, 60)} _x4 {lines((0, 60 * MB), (2, 400 * MB), (70, 420 * MB))}",
    LIMIT: flat(16 * GB),
    STARTED: f"{flat(1_710_800_000, 60)} _x4 {flat(1_710_803_660, 70)}",
}
GAP: Values = {
    LIVE: f"{flat(900, 60)} _x80 {flat(905, 70)}",
    'qcfeed_feeds{upstream="open"}': f"{flat(892, 60)} _x80 {flat(892, 70)}",
    RESIDENT: f"{flat(2 * GB, 60)} _x80 {flat(2.01 * GB, 70)}",
    LIMIT: f"{flat(16 * GB, 60)} _x80 {flat(16 * GB, 70)}",
    STARTED: f"{flat(1_710_800_000, 60)} _x80 {flat(1_710_800_000, 70)}",
}
"""Nothing was scraped for twenty minutes."""
RECOVERED: Values = {
    LIVE: lines((0, 20), (30, 20), (40, 912), (130, 912)),
    'qcfeed_feeds{upstream="open"}': lines((0, 0), (30, 0), (40, 892), (130, 892)),
    'qcfeed_feeds{upstream="backoff"}': lines((0, 892), (30, 892), (40, 0), (130, 0)),
    RESIDENT: flat(0.4 * GB),
    LIMIT: flat(16 * GB),
    STARTED: flat(1_710_800_000),
}
"""The upstream was away, and its feeds come back one after the other within ten minutes."""
HEALTHY = {
    "stable load": STABLE,
    "an upstream that is back": RECOVERED,
    "a morning's demand": MORNING,
    "a restart": RESTARTED,
    "a scrape gap": GAP,
}


def only_memory(series: Values) -> Values:
    return {each: values for each, values in series.items() if each in (RESIDENT, LIMIT, STARTED)}


ALWAYS = tuple(float(minute) for minute in range(1, 130, 3))

# ---------------------------------------------------------------- one by one

_SYMBOLS = {f'qcfeed_symbols{{band="{band}"}}': "0x240" for band in ("live", "very_stale")}
_STALE = {
    **_SYMBOLS,
    'qcfeed_symbols{band="live"}': "80x240",
    'qcfeed_symbols{band="stale"}': "20x240",
}
_DEAD = {**_SYMBOLS, 'qcfeed_symbols{band="dead"}': "1x240"}
_OPENING = {"qcfeed_market_open": "0x79 1x160"}
"""The market opens at minute 20."""


def _owner(instance: str, share: str = "1/1", cluster: str = "") -> str:
    """The series that says whether a feeder owns its share."""
    more = f', cluster="{cluster}"' if cluster else ""
    return f'qcfeed_share_owner{{instance="{instance}", share="{share}"{more}}}'


def _restarts(reason: str) -> str:
    return f'qcfeed_worker_restarts_total{{reason="{reason}"}}'


CASES: tuple[Case, ...] = (
    Case(
        "QcfeedTaskGrowth",
        "the incident: before 00:15, and until the end",
        INCIDENT,
        fires=(QUIET_BEFORE + 9, QUIET_BEFORE + 14, 100, 150, 195),
        quiet=(5, 30, QUIET_BEFORE, QUIET_BEFORE + 8),
    ),
    Case(
        "QcfeedTaskGrowth",
        "the incident, seen from midnight only",
        INCIDENT_FROM_MIDNIGHT,
        fires=(14, 30, 60),
        quiet=(0, 1),
    ),
    Case(
        "QcfeedTaskGrowth",
        "the net growth of its dashboard: 20 a minute",
        {LIVE: lines((0, 1_247), (60, 1_247), (120, 2_447))},
        fires=(60 + 20, 120),
        quiet=(60,),
    ),
    Case(
        "QcfeedTaskGrowth",
        "a leak that goes on after a restart",
        {
            LIVE: f"{lines((0, 1_000), (60, 9_000))} {lines((0, 10), (60, 8_010))}",
            STARTED: f"{flat(1_710_800_000, 60)} {flat(1_710_803_600, 60)}",
        },
        fires=(50, 60 + 15, 110),
    ),
    Case(
        "QcfeedTaskGrowth",
        "a leak that was mended",
        {LIVE: lines((0, 1_000), (30, 4_000), (31, 1_000), (60, 1_000))},
        fires=(29,),
        quiet=(40, 60),
    ),
    *(Case("QcfeedTaskGrowth", what, series, quiet=ALWAYS) for what, series in HEALTHY.items()),
    Case(
        "QcfeedOrphanedTasks",
        "one orphan",
        {'qcfeed_tasks_orphaned{location="a.py:1"}': "0x8 1x80", "qcfeed_tasks_orphaned": "0x88"},
        fires=(5, 20),
        quiet=(1, 3),
    ),
    Case(
        "QcfeedOrphanedTasks",
        "orphans for a minute: their owners have just left",
        {'qcfeed_tasks_orphaned{location="a.py:1"}': "0x8 50x3 0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedOrphanedSubscriptions",
        "the incident's 4,234",
        {"qcfeed_subscriptions_orphaned": "0x8 4234x80"},
        fires=(5,),
        quiet=(3,),
    ),
    Case(
        "QcfeedOrphanedSubscriptions",
        "none",
        {"qcfeed_subscriptions_orphaned": "0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedMemoryRunsOut",
        "the incident: an hour before the end",
        only_memory(INCIDENT),
        fires=(QUIET_BEFORE + 75.5, 170, 195),
        quiet=(QUIET_BEFORE, QUIET_BEFORE + 55, QUIET_BEFORE + 74),
    ),
    *(
        Case("QcfeedMemoryRunsOut", what, only_memory(series), quiet=ALWAYS)
        for what, series in HEALTHY.items()
    ),
    Case(
        "QcfeedMemoryRunsOutSoon",
        "the incident: at 02:04, a quarter of an hour before the end",
        only_memory(INCIDENT),
        fires=(QUIET_BEFORE + 124, 190, 195),
        quiet=(QUIET_BEFORE, 100, 150, QUIET_BEFORE + 123),
    ),
    *(
        Case("QcfeedMemoryRunsOutSoon", what, only_memory(series), quiet=ALWAYS)
        for what, series in HEALTHY.items()
    ),
    Case(
        "QcfeedMemoryHigh",
        "the incident's 88 percent",
        {RESIDENT: "2e9x8 14.2e9x80", LIMIT: "16e9x90"},
        fires=(5,),
        quiet=(3,),
    ),
    *(
        Case("QcfeedMemoryHigh", what, only_memory(series), quiet=ALWAYS)
        for what, series in HEALTHY.items()
    ),
    Case("QcfeedQuotesStale", "a fifth", _STALE, fires=(3, 50), quiet=(1,)),
    Case(
        "QcfeedQuotesStale",
        "the market opens and nothing comes",
        _STALE | _OPENING,
        fires=(35,),
        quiet=(3, 10, 19, 22, 29),
    ),
    Case(
        "QcfeedQuotesStale",
        "one symbol of a hundred that is hardly traded",
        _STALE | {'qcfeed_symbols{band="live"}': "99x240", 'qcfeed_symbols{band="stale"}': "1x240"},
        quiet=ALWAYS,
    ),
    Case("QcfeedQuotesStale", "nobody subscribes", _SYMBOLS, quiet=ALWAYS),
    Case("QcfeedQuotesDead", "one symbol", _DEAD, fires=(6, 50), quiet=(4,)),
    Case(
        "QcfeedQuotesDead",
        "the market is closed, then opens",
        _DEAD | _OPENING,
        fires=(40,),
        quiet=(6, 19, 22, 29),
    ),
    Case("QcfeedQuotesDead", "none", _STALE, quiet=ALWAYS),
    Case(
        "QcfeedLoopLag",
        "late by a fifth of the time",
        {"qcfeed_loop_lag_seconds_sum": "0+3x120"},
        fires=(9, 25),
        quiet=(4,),
    ),
    Case(
        "QcfeedLoopLag",
        "twenty beats a second, each late by a millisecond, and one stall of ten seconds",
        {"qcfeed_loop_lag_seconds_sum": "0+0.3x40 22+0.3x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedSlowConsumers",
        "a fifth takes nothing",
        {"qcfeed_connections_slow": "0x8 20x80", "qcfeed_connections": "100x90"},
        fires=(8,),
        quiet=(2, 6),
    ),
    Case(
        "QcfeedSlowConsumers",
        "they are disconnected, and come back",
        {"qcfeed_disconnected_slow_total": "0x8 0+1x80"},
        fires=(15,),
        quiet=(2, 4),
    ),
    Case(
        "QcfeedSlowConsumers",
        "one of a hundred, and one disconnected now and then",
        {
            "qcfeed_connections_slow": "1x240",
            "qcfeed_connections": "100x240",
            "qcfeed_disconnected_slow_total": "0x40 1x40 2x40 3x100",
        },
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedSlowConsumers",
        "a restart: what was counted before does not count again",
        {"qcfeed_disconnected_slow_total": "500x40 0x200"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedAuthenticationFails",
        "a client guesses keys",
        {
            'qcfeed_authentications_refused_total{reason="unknown_key"}': "0x8 0+300x80",
            "qcfeed_access_problems": "0x90",
        },
        fires=(15,),
        quiet=(2, 4),
    ),
    Case(
        "QcfeedAuthenticationFails",
        "a file of keys is spoilt",
        {"qcfeed_access_problems": "0x8 1x80"},
        fires=(10,),
        quiet=(2, 6),
    ),
    Case(
        "QcfeedAuthenticationFails",
        "a client with an old key tries again every ten seconds",
        {
            'qcfeed_authentications_refused_total{reason="expired"}': "0+1.5x240",
            "qcfeed_access_problems": "0x240",
        },
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedUpstreamDown",
        "somebody waits",
        {"qcfeed_upstream_connected": "1x8 0x80", "qcfeed_symbols_active": "3x90"},
        fires=(4,),
        quiet=(2,),
    ),
    Case(
        "QcfeedUpstreamDown",
        "nobody does: it is not connected without demand",
        {"qcfeed_upstream_connected": "0x240", "qcfeed_symbols_active": "0x240"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedBrokerAway",
        "the NATS servers are away",
        {"qcfeed_broker_away": "0x8 1x80"},
        fires=(4, 20),
        quiet=(2,),
    ),
    Case(
        "QcfeedBrokerAway",
        "one lost connection",
        {"qcfeed_broker_away": "0x8 1 1 0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedNoOwner",
        "the last feeder has died",
        {"qcfeed_shares_without_owner": "0x8 1x80"},
        fires=(4, 20),
        quiet=(2,),
    ),
    Case(
        "QcfeedNoOwner",
        "a standby takes over",
        {"qcfeed_shares_without_owner": "0x8 1 1 0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedBrokerUnstable",
        "a connection that is lost every minute",
        {"qcfeed_broker_reconnects_total": "0x8 0+0.25x80"},
        fires=(20,),
        quiet=(2,),
    ),
    Case(
        "QcfeedBrokerUnstable",
        "a server that was restarted twice",
        {"qcfeed_broker_reconnects_total": "0x8 1x8 2x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedFormerOwner",
        "a feeder that ignores the end of its lease",
        {"qcfeed_epochs_rejected_total": "0x8 0+5x80"},
        fires=(6, 20),
        quiet=(2,),
    ),
    Case(
        "QcfeedFormerOwner",
        "late quotes at a change of the owner",
        {"qcfeed_epochs_rejected_total": "0x8 12x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedTwoOwners",
        "a second feeder has a lease of another NATS server",
        {_owner("f1"): "1x90", _owner("f2"): "0x8 1x80"},
        fires=(4, 20),
        quiet=(1, 2.5),
        instances=2,
    ),
    Case(
        "QcfeedTwoOwners",
        "a standby takes over, and the former owner's last sample overlaps",
        {_owner("f1"): "1x9 0x80", _owner("f2"): "0x8 1x81"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedTwoOwners",
        "the owner is killed: it is not scraped again",
        {_owner("f1"): "1x9 stale _x80", _owner("f2"): "0x8 1x90"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedTwoOwners",
        "one owner per share, and a standby",
        {_owner("f1", "1/2"): "1x240", _owner("f2", "2/2"): "1x240", _owner("f3", "2/2"): "0x240"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedTwoOwners",
        "two clusters of one job, which a label distinguishes",
        {
            _owner("f1", cluster="a"): "1x240",
            _owner("f2", cluster="b"): "1x240",
        },
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedInterestLeaked",
        "subscriptions that stay",
        {"qcfeed_interest_without_subscribers": "0x8 3x80"},
        fires=(4, 20),
        quiet=(2,),
    ),
    Case(
        "QcfeedInterestLeaked",
        "a feed that was just ending",
        {"qcfeed_interest_without_subscribers": "0x8 1 0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedGatewayLags",
        "a gateway that skips quotes",
        {"qcfeed_broker_skipped_total": "0x8 0+40x80", "qcfeed_broker_dropped_total": "0x90"},
        fires=(6, 20),
        quiet=(2,),
    ),
    Case(
        "QcfeedGatewayLags",
        "messages that were waiting when the connection was lost",
        {"qcfeed_broker_skipped_total": "0x90", "qcfeed_broker_dropped_total": "0x8 900x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedRenewalsMissed",
        "JetStream answers every other renewal",
        {"qcfeed_lease_renewals_missed_total": "0x8 0+1x80"},
        fires=(8, 20),
        quiet=(2,),
    ),
    Case(
        "QcfeedRenewalsMissed",
        "JetStream elects a leader",
        {"qcfeed_lease_renewals_missed_total": "0x8 3x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedInterestWithoutFeed",
        "the upstream opens no symbol",
        {"qcfeed_interest_without_feed": "0x8 2x80"},
        fires=(9, 20),
        quiet=(2, 6),
    ),
    Case(
        "QcfeedInterestWithoutFeed",
        "symbols that were just opening",
        {"qcfeed_interest_without_feed": "0x8 40 3 1 0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedFeedWithoutInterest",
        "a subscriber on NATS that is no gateway",
        {"qcfeed_feed_without_interest": "0x8 1x80"},
        fires=(9, 20),
        quiet=(2, 6),
    ),
    Case(
        "QcfeedFeedWithoutInterest",
        "a gateway whose answer was late",
        {"qcfeed_feed_without_interest": "0x8 30 0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedWorkersRestart",
        "a worker crashed, and came back",
        {_restarts("ended"): "0x8 _ 1x120", _restarts("stuck"): "0x8 _ 0x120"},
        fires=(4, 12),
        quiet=(2, 25),
    ),
    Case(
        "QcfeedWorkersRestart",
        "a worker that is stuck again and again",
        {_restarts("ended"): "0x120", _restarts("stuck"): "0x8 0+0.25x112"},
        fires=(5, 20),
        quiet=(2,),
    ),
    Case(
        "QcfeedWorkersRestart",
        "workers that are restarted on request, and a supervisor that starts anew",
        {
            _restarts("requested"): "0x20 1x20 2x200",
            _restarts("ended"): "3x40 0x200",
            _restarts("stuck"): "1x40 0x200",
        },
        quiet=ALWAYS,
    ),
    Case("QcfeedTargetMissing", "it does not answer", {"up": "1x8 0x80"}, fires=(4,), quiet=(2,)),
    Case("QcfeedTargetMissing", "nobody scrapes it", {'up{x=""}': "1x8"}, fires=(15,), quiet=(2,)),
    Case("QcfeedTargetMissing", "it does", {"up": "1x240"}, quiet=(1, 10, 59)),
    Case(
        "QcfeedLedgerIncomplete",
        "a library has replaced the task factory",
        {"qcfeed_ledger_problems": "0x8 1x80"},
        fires=(4, 20),
        quiet=(1, 2.5),
    ),
    Case(
        "QcfeedLedgerIncomplete",
        "one scrape in which a check failed",
        {"qcfeed_ledger_problems": "0x8 1 0x80"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedLedgerIncomplete",
        "tasks that bypass the factory, while the ledger's check holds",
        {"qcfeed_ledger_problems": "0x80", "qcfeed_tasks_untracked": "3x8 400x72"},
        quiet=ALWAYS,
    ),
    Case(
        "QcfeedDrillLeftOn",
        "since yesterday",
        {"qcfeed_drill_active": "1x480"},
        fires=(61,),
        quiet=(59,),
    ),
    Case("QcfeedDrillLeftOn", "half an hour", {"qcfeed_drill_active": "1x120 0x400"}, quiet=ALWAYS),
)
