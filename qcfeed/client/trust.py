"""How a client verifies a server with TLS, and the certificate that it shows to the server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from qcfeed.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Trust:
    """``ca``: the CAs to trust instead of the system's. ``cert`` and ``key``: the client's own."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self, pinned: str | None = None) -> ssl.SSLContext:
        """A context for one connection. ``pinned``: trust just this certificate (PEM), whatever its names.

        Without ``ca`` the system's CAs are trusted, or those of $SSL_CERT_FILE. Files are read each time,
        because they are renewed. Raises ConfigError.
        """
        try:
            if self.ca is not None or pinned is None:
                made = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            else:
                made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                made.check_hostname = False
                made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                made.load_verify_locations(cadata=pinned)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"cannot read certificates from --tls-ca {self.ca}: {_reason(error)}",
                hint="it needs certificates in PEM: of the CA, or the server's own if it signed itself",
            ) from error
        if self.cert is not None:
            self._show(made, self.cert)
        return made

    def _show(self, context: ssl.SSLContext, cert: Path) -> None:
        try:
            context.load_cert_chain(cert, self.key, password="")
        except OSError as error:
            raise ConfigError(
                f"cannot use --tls-client-cert {cert}: {_reason(error)}",
                hint="it needs the certificate in PEM, and its key without a password, in the same file or"
                " in --tls-client-key",
            ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
