"""The answer about findings. In a module of its own, because ``Finding`` is slow to import for a command."""

from __future__ import annotations

from qcfeed.diagnostics.findings import Finding
from qcfeed.model.answers import Answer


class Findings(Answer, kw_only=True, tag="qcfeed.findings/2"):
    """What is certain first. ``snapshots`` and ``watched_s``: how much the rules had to look at.

    ``untold``: what they could not look at, and why.
    """

    proved: int
    suspected: int
    findings: list[Finding]
    snapshots: int
    watched_s: float
    skipped: list[str]
