"""The options of ``watch`` and ``repro`` for services with TLS."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from qcfeed.client.trust import Trust
from qcfeed.errors import QcfeedError, UsageError
from qcfeed.model.status import ServiceStatus

TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        metavar="FILE",
        help="Certificates (PEM) to verify the service with. Default: for the service on this machine its"
        " own, else $SSL_CERT_FILE or the system's.",
    ),
]
TlsClientCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-cert",
        metavar="FILE",
        help="Client certificate (PEM) for a service that demands one; with its key, or --tls-client-key.",
    ),
]
TlsClientKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-key", metavar="FILE", help="Private key of --tls-client-cert (PEM)."
    ),
]

Contexts = Callable[[], "ssl.SSLContext | None"]
"""Returns the TLS context for the next connection; None without TLS."""


def contexts(
    trust: Trust, scheme: str, status: Callable[[], ServiceStatus] | None = None
) -> Contexts:
    """The contexts for connections to a service. Raises ConfigError if a file cannot be used.

    ``status`` asks the service itself, over its control plane, which certificate it uses: that one is trusted.
    It is asked for each connection, because certificates are renewed.
    """
    if trust.key is not None and trust.cert is None:
        raise UsageError("--tls-client-key needs --tls-client-cert, the certificate it belongs to")
    if scheme != "wss":
        return lambda: None
    pinned: str | None = None

    def context() -> ssl.SSLContext:
        nonlocal pinned
        if status is not None:
            with contextlib.suppress(QcfeedError):  # it is down, and so is its control plane
                tls = status().listening.tls
                pinned = pinned if tls is None else tls.certificate
        return trust.context(pinned)

    context()  # a file that cannot be used is an error now, not at the connection
    return context
