"""The check of where a service saves evidence by itself."""

from __future__ import annotations

import os

from qcfeed.control import evidence_files
from qcfeed.doctor.check import Case, CheckFailedError, Skip
from qcfeed.model.status import ServiceStatus


def saved(case: Case) -> str:
    """The directory for evidence can be written, and its disk has room."""
    config = case.config
    if not config.evidence_at:
        raise Skip("--evidence-at 0: the service saves no evidence by itself")
    where = evidence_files.directory(config.evidence_dir)
    present = next(each for each in (where, *where.absolute().parents) if each.exists())
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        raise CheckFailedError(
            f"{where} cannot be written, so the service can save no evidence",
            hint="`qcfeed config set evidence_dir DIR`, then restart the service",
        )
    room = evidence_files.check_room(where)
    text = f"{where}, {room}; saved at {config.evidence_at:.0%} of the limit"
    try:
        answer = case.service_or_program
    except Skip:
        return text
    if isinstance(answer, ServiceStatus) and answer.saved_evidence is not None:
        text += f"; latest: {answer.saved_evidence.file}"
    return text
