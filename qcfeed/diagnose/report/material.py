"""The input of a report: the diagnosis, its evidence, and the service's other answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from qcfeed.diagnose.evidence import Evidence
from qcfeed.model.diagnosis import Diagnosis
from qcfeed.model.memory import MemoryUse
from qcfeed.model.report import AuditEntries, Configuration, LogLines
from qcfeed.model.stacks import Stacks
from qcfeed.model.tasks import Tasks


@dataclass(slots=True, kw_only=True)
class Material:
    """Everything that the report is made of.

    ``host``: the machine on which it is made. ``version``: that of the qcfeed which writes it. ``dropped``:
    what is left out, and why. ``why``: why the service wrote it by itself; None for a person's report.
    """

    diagnosis: Diagnosis
    evidence: Evidence
    host: str
    version: str
    tasks: Tasks | None = None
    stacks: Stacks | None = None
    log: LogLines | None = None
    actions: AuditEntries | None = None
    config: Configuration | None = None
    memory: MemoryUse | None = None
    dropped: list[str] = field(default_factory=list)
    why: str | None = None
