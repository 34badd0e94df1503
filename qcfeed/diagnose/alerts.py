"""What Prometheus says is wrong: alerts that fire for this service, in its own words."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.evidence import Evidence
from qcfeed.formats import age
from qcfeed.model.diagnosis import Certainty, Finding

EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "QcfeedTaskGrowth": ("zombies", "growing"),
    "QcfeedOrphanedTasks": ("zombies",),
    "QcfeedOrphanedSubscriptions": ("zombies", "blocked_loop"),
    "QcfeedMemoryRunsOut": ("zombies", "growing", "memory_growth", "memory_level"),
    "QcfeedMemoryRunsOutSoon": ("zombies", "growing", "memory_growth", "memory_level"),
    "QcfeedMemoryHigh": ("zombies", "growing", "memory_growth", "memory_level"),
    "QcfeedQuotesStale": ("blocked_loop", "upstream", "stale_symbols", "own_lag"),
    "QcfeedQuotesDead": ("blocked_loop", "upstream", "stale_symbols", "own_lag"),
    "QcfeedLoopLag": ("blocked_loop", "zombies"),
    "QcfeedSlowConsumers": ("blocked_loop", "slow_subscribers"),
    "QcfeedUpstreamDown": ("blocked_loop", "upstream"),
    "QcfeedTargetMissing": ("blocked_loop",),
    "QcfeedLedgerIncomplete": ("incomplete_ledger",),
    "QcfeedDrillLeftOn": ("drill", "zombies"),
}
"""The rules whose findings an alert of the catalog is a symptom of."""


def fires(seen: Evidence) -> Iterator[Finding]:
    """Each alert that fires; one that is pending may yet be nothing."""
    for alert in seen.alerts:
        if alert.state != "firing":
            continue
        told = alert.summary or "no summary"
        yield Finding(
            rule=alert.name,
            kind="ALERT",
            certainty=Certainty.PROVED,
            urgency=20,
            headline=f"{alert.name} fires, and no rule here explains it",
            cause=f"{alert.name} fires since {age(max(0.0, alert.active_s))}: {told}",
            evidence=[f"its expression gives {alert.value:,.4g}", told],
            began_s=max(0.0, alert.active_s),
            safe="look before you act: what it saw may be over",
            next=[each for each in (alert.first, f"{seen.command} alerts") if each],
        )
