"""Certificates for tests of TLS: a CA of the test's own, and what it signs."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class Certificates:
    """A CA, and the files that it writes into one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ca = trustme.CA()
        directory.mkdir(exist_ok=True)
        self.ca = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca)
        self.cert = directory / "cert.pem"
        self.key = directory / "key.pem"

    def issue(
        self, *names: str, expires: datetime | None = None, valid_from: datetime | None = None
    ) -> None:
        """Write a certificate for ``names`` (by default this machine) and its key, in place of the last."""
        made = self._ca.issue_cert(
            *(names or ("localhost", "127.0.0.1")), not_after=expires, not_before=valid_from
        )
        # Replaced, not rewritten, as certbot and Kubernetes do it.
        fresh = self._directory / "fresh"
        for content, path in (
            (made.private_key_pem.bytes(), self.key),
            (b"".join(each.bytes() for each in made.cert_chain_pems), self.cert),
        ):
            fresh.touch(mode=0o600)
            fresh.write_bytes(content)
            fresh.replace(path)

    def issue_expired(self) -> None:
        now = datetime.now(UTC)
        self.issue(valid_from=now - timedelta(days=9), expires=now - timedelta(days=1))

    def client(self, name: str) -> Path:
        """A client's certificate with its key, in one file."""
        path = self._directory / f"{name}.pem"
        path.write_bytes(self._ca.issue_cert(name).private_key_and_cert_chain_pem.bytes())
        path.chmod(0o600)
        return path

    def trusting(self, client: Path | None = None) -> ssl.SSLContext:
        """A client's context that trusts the CA."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if client is not None:
            context.load_cert_chain(client)
        return context

    def serving(self) -> ssl.SSLContext:
        """A server's context with the certificate, for asyncio's own transport."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context
