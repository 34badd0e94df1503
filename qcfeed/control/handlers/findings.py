"""The handler of the findings: what the rules find in a watched program, and the command to type next."""

from __future__ import annotations

import time
from collections import Counter

from qcfeed.control.routes import TASKS_FINDINGS, NoQuery, ReadRoute, Route
from qcfeed.diagnostics import leak_rules, rules
from qcfeed.diagnostics.findings import Certainty, Finding
from qcfeed.diagnostics.locations import site_option
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.model.findings import Findings

NEXT_COMMANDS = {
    "incomplete_ledger": "qcfeed runbook QcfeedLedgerIncomplete",
    "untracked_tasks": "qcfeed runbook QcfeedLedgerIncomplete",
    "orphans": "qcfeed orphans --reap",
    "never_ending": "qcfeed tasks {site} --limit 20",
    "growing": "qcfeed tasks --window 30s",
    "cancelled_in_vain": "qcfeed tasks show {serial}",
    "abandoned_future": "qcfeed tasks show {serial}",
    "blocked_loop": "qcfeed stacks",
    "late_wakeup": "qcfeed stacks",
    "destroyed_pending": "qcfeed tasks --by-location -o wide",
    "exceptions_never_retrieved": "qcfeed tasks failures",
}


def routes(sampler: DiagnosticsSampler) -> list[Route]:
    """The route TASKS_FINDINGS over the observations of ``sampler``."""
    return [ReadRoute(TASKS_FINDINGS, NoQuery, _FindingsHandler(sampler).findings)]


class _FindingsHandler:
    def __init__(self, sampler: DiagnosticsSampler) -> None:
        self._sampler = sampler

    def findings(self, _: NoQuery) -> Findings:
        """Cost: 0.5 us per live task, and 0.2 ms per location with a full history."""
        look = self._sampler.observe(time.monotonic())
        rows = [with_next(finding) for finding in rules.findings(look)]
        found = Counter(row.certainty for row in rows)
        return Findings(
            proved=found[Certainty.PROVED],
            likely=found[Certainty.LIKELY],
            suspected=found[Certainty.SUSPECTED],
            findings=rows,
            snapshots=len(look.times),
            watched_s=look.now - look.times[0] if look.times else 0.0,
            skipped=look.skipped,
            explained=list(leak_rules.explained(look)),
            untracked_explained=look.untracked.are_explained,
            undecided=[str(each) for each in rules.undecided(look, rows)],
        )


def with_next(finding: Finding) -> Finding:
    """The finding with the command to type next."""
    serial = finding.serials[0] if finding.serials else ""
    site = site_option(finding.location)
    finding.next = [NEXT_COMMANDS[finding.rule].format(serial=serial, site=site)]
    return finding
