"""Alerts that Prometheus reports as firing for this service, in the words of their rules."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.evidence import Evidence
from qcfeed.diagnostics.findings import Certainty
from qcfeed.formats import age
from qcfeed.model.diagnosis import DiagnosisFinding

EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "QcfeedTaskGrowth": ("zombies", "never_ending"),
    "QcfeedOrphanedTasks": ("zombies",),
    "QcfeedOrphanedSubscriptions": ("orphaned_subscriptions", "zombies", "blocked_loop"),
    "QcfeedMemoryRunsOut": ("zombies", "never_ending", "memory_growth", "memory_level"),
    "QcfeedMemoryRunsOutSoon": ("zombies", "never_ending", "memory_growth", "memory_level"),
    "QcfeedMemoryHigh": ("zombies", "never_ending", "memory_growth", "memory_level"),
    "QcfeedQuotesStale": ("blocked_loop", "upstream", "stale_symbols", "own_lag"),
    "QcfeedQuotesDead": ("blocked_loop", "upstream", "stale_symbols", "own_lag"),
    "QcfeedLoopLag": ("blocked_loop", "zombies"),
    "QcfeedSlowConsumers": ("blocked_loop", "slow_subscribers"),
    "QcfeedAuthenticationFails": ("refused_authentications",),
    "QcfeedUpstreamDown": ("blocked_loop", "upstream"),
    "QcfeedBrokerAway": ("blocked_loop", "upstream"),
    "QcfeedNoOwner": ("blocked_loop", "upstream"),
    "QcfeedBrokerUnstable": ("unstable_broker",),
    "QcfeedFormerOwner": ("former_owner",),
    "QcfeedTwoOwners": ("two_owners",),
    "QcfeedInterestLeaked": ("leaked_interest",),
    "QcfeedGatewayLags": ("blocked_loop", "slow_gateway"),
    "QcfeedRenewalsMissed": ("missed_renewals",),
    "QcfeedInterestWithoutFeed": ("blocked_loop", "interest_without_feed"),
    "QcfeedFeedWithoutInterest": ("feed_without_interest",),
    "QcfeedWorkersRestart": ("restarted_worker",),
    "QcfeedTargetMissing": ("blocked_loop",),
    "QcfeedLedgerIncomplete": ("incomplete_ledger",),
    "QcfeedDrillLeftOn": ("drill", "zombies"),
}
"""For each alert of the catalog, the rules whose findings explain it."""


def firing_alerts(evidence: Evidence) -> Iterator[DiagnosisFinding]:
    """One finding per firing alert. Pending alerts are left out: they may clear by themselves."""
    for alert in evidence.alerts:
        if alert.state != "firing":
            continue
        summary = alert.summary or "no summary"
        yield DiagnosisFinding(
            rule=alert.name,
            kind="ALERT",
            certainty=Certainty.PROVED,
            urgency=20,  # an alert names no cause, so nearly every other finding comes first
            headline=f"{alert.name} is firing, and no other finding explains it",
            cause=f"{alert.name} has been firing for {age(max(0.0, alert.active_s))}: {summary}",
            evidence=[f"its expression returns {alert.value:,.4g}", summary],
            began_s=max(0.0, alert.active_s),
            safe="investigate before you act: the condition may be over already",
            next=[each for each in (alert.first, f"{evidence.command} alerts") if each],
        )
