"""Which runbook goes with what a rule found: the page of the alert that tells of the same fault."""

from __future__ import annotations

from qcfeed.diagnose import alerts

PAGES = {
    "zombies": "QcfeedOrphanedTasks",
    "growing": "QcfeedTaskGrowth",
    "blocked_loop": "QcfeedLoopLag",
    "memory_growth": "QcfeedMemoryRunsOut",
    "memory_level": "QcfeedMemoryHigh",
    "upstream": "QcfeedUpstreamDown",
    "stale_symbols": "QcfeedQuotesStale",
    "own_lag": "QcfeedLoopLag",
    "slow_subscribers": "QcfeedSlowConsumers",
    "drill": "QcfeedDrillLeftOn",
    "incomplete_ledger": "QcfeedLedgerIncomplete",
    "untracked_tasks": "QcfeedLedgerIncomplete",
}
"""Of each rule of this package; an alert's own rule is its page's name."""


def page_of(rule: str) -> str:
    """The page's name, for ``qcfeed runbook NAME``; empty where there is none."""
    return PAGES.get(rule, rule if rule in alerts.EXPLAINED_BY else "")
