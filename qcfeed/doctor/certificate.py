"""Checks the certificate of the quotes port: its files, and the one that the service uses."""

from __future__ import annotations

import time

from qcfeed.diagnose import certificate
from qcfeed.doctor.check import Case, CheckFailedError
from qcfeed.errors import UnreachableError
from qcfeed.model.status import ServiceStatus, TlsListening
from qcfeed.net import tls_context
from qcfeed.net.tls_context import TlsFiles


def valid(case: Case) -> str:
    """The files of --tls-cert and --tls-key can be used, and the certificate in use does not expire soon."""
    files = TlsFiles.named(case.config.tls_cert, case.config.tls_key, case.config.tls_client_ca)
    if files is not None:
        tls_context.load(files, time.time())
    serving = _serving(case)
    if serving is None:
        return "no TLS" if files is None else f"{files.cert} can be used"
    for problem, remedy in certificate.problems(serving, time.time()):
        raise CheckFailedError(problem, hint=remedy)
    return f"for {', '.join(serving.names)}, valid until {serving.not_after}"


def _serving(case: Case) -> TlsListening | None:
    """What the service that runs says; None if none runs or it has no TLS."""
    try:
        case.address()
    except UnreachableError:
        return None
    return case.answer.listening.tls if isinstance(case.answer, ServiceStatus) else None
