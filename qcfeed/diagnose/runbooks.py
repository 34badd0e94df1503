"""The runbook of each rule: the page of the alert for the same fault."""

from __future__ import annotations

from qcfeed.diagnose import alerts

PAGES = {
    "zombies": "QcfeedOrphanedTasks",
    "never_ending": "QcfeedTaskGrowth",
    "growing": "QcfeedTaskGrowth",
    "blocked_loop": "QcfeedLoopLag",
    "late_wakeup": "QcfeedLoopLag",
    "memory_growth": "QcfeedMemoryRunsOut",
    "memory_level": "QcfeedMemoryHigh",
    "upstream": "QcfeedUpstreamDown",
    "stale_symbols": "QcfeedQuotesStale",
    "own_lag": "QcfeedLoopLag",
    "vanished_subscribers": "half-open-consumers",
    "refused_requests": "subscribe-storm",
    "refused_authentications": "QcfeedAuthenticationFails",
    "orphaned_subscriptions": "QcfeedOrphanedSubscriptions",
    "wrong_clock": "QcfeedDrillLeftOn",
    "slow_subscribers": "QcfeedSlowConsumers",
    "unstable_broker": "QcfeedBrokerUnstable",
    "slow_gateway": "QcfeedGatewayLags",
    "leaked_interest": "QcfeedInterestLeaked",
    "former_owner": "QcfeedFormerOwner",
    "two_owners": "QcfeedTwoOwners",
    "restarted_worker": "QcfeedWorkersRestart",
    "missed_renewals": "QcfeedRenewalsMissed",
    "interest_without_feed": "QcfeedInterestWithoutFeed",
    "feed_without_interest": "QcfeedFeedWithoutInterest",
    "drill": "QcfeedDrillLeftOn",
    "incomplete_ledger": "QcfeedLedgerIncomplete",
    "untracked_tasks": "QcfeedLedgerIncomplete",
}
"""Rule -> page. The page of an alert has the alert's own name, so alerts are not listed."""


def page_of(rule: str) -> str:
    """The page's name, for ``qcfeed runbook NAME``; empty if the rule has no page."""
    return PAGES.get(rule, rule if rule in alerts.EXPLAINED_BY else "")
