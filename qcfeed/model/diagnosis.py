"""The answer of ``qcfeed diagnose``: findings, each a cause with the symptoms it explains."""

from __future__ import annotations

import msgspec

from qcfeed.diagnostics.findings import Certainty
from qcfeed.model.answer import Answer
from qcfeed.model.status import SavedEvidence


class Symptom(msgspec.Struct, kw_only=True):
    """A finding of another rule that this cause explains."""

    rule: str
    summary: str


class DiagnosisFinding(msgspec.Struct, kw_only=True):
    """One cause.

    ``kind`` is the word it begins with (``LEAK``); ``headline`` fits on one line beside it; ``cause`` is the
    full sentence. ``location``: the ``file:line`` to blame, and ``source`` its text on the service's machine.
    ``began_s``: how long ago it began; ``left_s``: time left until the memory limit, by the shortest estimate,
    and ``left_most_s`` by the longest. ``urgency`` ranks findings from 0 to 100. ``next``: commands to paste, in
    order. ``runbook``: the page about it (``qcfeed runbook NAME``), if there is one.
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
    left_most_s: float | None = None
    per_minute: float | None = None
    count: int = 0
    safe: str = ""
    next: list[str] = []
    runbook: str = ""
    symptoms: list[Symptom] = []

    @property
    def is_suspected(self) -> bool:
        """Whether a healthy program could look the same for a while; then it decides nothing."""
        return self.certainty is Certainty.SUSPECTED


class DiagnosisCheck(msgspec.Struct, kw_only=True):
    """One thing that was checked, and the result."""

    subject: str
    result: str


class Diagnosis(Answer, kw_only=True, tag="qcfeed.diagnose/3"):
    """The verdict on one service or program.

    ``verdict``: the rule of the first finding; else ``suspected``, ``too_early`` or ``healthy``.
    ``findings``: proved and likely causes, most urgent first. ``to_recheck``: suspected causes, which only time
    can prove. ``skipped``: what could not be checked, and why. ``window_s``: seconds between the two snapshots.
    """

    verdict: str
    headline: str
    window_s: float
    findings: list[DiagnosisFinding]
    to_recheck: list[DiagnosisFinding]
    checks: list[DiagnosisCheck]
    skipped: list[str]
    drill: str | None = None
    saved_evidence: SavedEvidence | None = None
    """The latest bundle that the service saved by itself."""
