"""What a report is written from: the verdict, its evidence, and what else was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from qcfeed.control.answers import Tasks
from qcfeed.control.report_answers import Actions, Configuration, Log
from qcfeed.control.stack_answers import Stacks
from qcfeed.verdict.answers import Diagnosis
from qcfeed.verdict.evidence import Evidence


@dataclass(slots=True, kw_only=True)
class Material:
    """``host``: where the report was made. ``dropped``: what was left out, and why. ``version``: of
    the qcfeed that wrote it."""

    diagnosis: Diagnosis
    evidence: Evidence
    host: str
    version: str
    tasks: Tasks | None = None
    stacks: Stacks | None = None
    log: Log | None = None
    actions: Actions | None = None
    config: Configuration | None = None
    dropped: list[str] = field(default_factory=list)
