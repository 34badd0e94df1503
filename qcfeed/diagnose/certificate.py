"""Problems of the certificate of the quotes port, which ``status`` and ``doctor`` report."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed import rfc3339
from qcfeed.formats import age
from qcfeed.model import thresholds
from qcfeed.model.status import TlsListening


def problems(tls: TlsListening, now: float) -> Iterator[tuple[str, str]]:
    """Each problem, and what to do about it. ``now``: Unix time."""
    if tls.problem is not None:
        yield (
            f"new certificate files are not in use: {tls.problem}",
            "repair the files of --tls-cert and --tls-key; they are loaded when they change",
        )
    left = rfc3339.unix(tls.not_after) - now
    if left < thresholds.CERTIFICATE_LEFT_S:
        when = f"expires in {age(left)}" if left > 0 else "has expired, and clients refuse it"
        yield (
            f"the certificate {when} ({tls.not_after})",
            "renew it and replace the files of --tls-cert and --tls-key; no restart is needed",
        )
