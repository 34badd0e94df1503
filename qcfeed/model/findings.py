"""The answer about findings.

In a module of its own, because importing ``Finding`` imports ``dataclasses``, which few commands need.
"""

from __future__ import annotations

import msgspec

from qcfeed.diagnostics.findings import Finding
from qcfeed.model.answer import Answer


class Findings(Answer, kw_only=True, tag="qcfeed.findings/3"):
    """Findings, the most certain first.

    ``explained``: growth that is not a finding, because something explains it; one sentence per location.
    ``undecided``: tasks that do not end or grow in number so far, where that is too little for a finding.
    ``untracked_explained``: whether each untracked task holds an open connection. ``snapshots`` and
    ``watched_s``: how much data the rules had. ``skipped``: what they could not examine, and why.
    """

    proved: int
    likely: int
    suspected: int
    findings: list[Finding]
    snapshots: int
    watched_s: float
    skipped: list[str]
    explained: list[str]
    untracked_explained: bool = False
    undecided: list[str] = msgspec.field(default_factory=list)
