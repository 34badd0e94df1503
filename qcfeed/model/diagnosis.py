"""The verdict as people and programs get it: findings, each a cause with its symptoms under it."""

from __future__ import annotations

import msgspec

from qcfeed.diagnostics.findings import Certainty
from qcfeed.model.answers import Answer


class Symptom(msgspec.Struct, kw_only=True):
    """What another rule found, and this cause explains."""

    rule: str
    summary: str


class DiagnosisFinding(msgspec.Struct, kw_only=True):
    """One cause.

    ``kind`` is the word that it begins with (``LEAK``), ``headline`` fits beside it on one line,
    ``cause`` is the whole sentence. ``location``: the guilty ``file:line``, and ``source`` its text as
    the service's machine has it. ``began_s``: how long ago; ``left_s``: until the memory limit.
    ``urgency`` ranks findings, 0 to 100. ``next`` are commands to paste, the first one first;
    ``runbook`` is the page for it (``qcfeed runbook NAME``), if there is one.
    """

    rule: str
    kind: str
    certainty: Certainty
    urgency: int
    headline: str
    cause: str
    location: str = ""
    source: str = ""
    evidence: list[str] = []
    began_s: float | None = None
    left_s: float | None = None
    per_minute: float | None = None
    count: int = 0
    safe: str = ""
    next: list[str] = []
    runbook: str = ""
    symptoms: list[Symptom] = []

    @property
    def proved(self) -> bool:
        return self.certainty is Certainty.PROVED


class Looked(msgspec.Struct, kw_only=True):
    """One thing that was looked at, and how it was."""

    subject: str
    result: str


class Diagnosis(Answer, kw_only=True, tag="qcfeed.diagnose/2"):
    """``verdict`` is the first finding's rule, or ``healthy``.

    ``findings``: causes that are certain, the most urgent first. ``again``: what only time can tell.
    ``untold``: what could not be looked at, and why. ``window_s``: between the two looks.
    """

    verdict: str
    headline: str
    window_s: float
    findings: list[DiagnosisFinding]
    to_recheck: list[DiagnosisFinding]
    checks: list[Looked]
    skipped: list[str]
    drill: str | None = None
