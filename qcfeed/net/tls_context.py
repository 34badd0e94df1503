"""Loads a server's certificate and key, with errors that say what to do about them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import ssl
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qcfeed import files
from qcfeed.errors import ConfigError

MAX_FILE = 1 << 20
"""Bytes of a certificate or key file; a chain of certificates has some kilobytes."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
_NO_CHECK_TIME = 0x20_0000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module does not name: dates are checked here."""
_FLIGHTS = 3
"""Rounds that the handshake in memory may take; TLS 1.3 needs two."""
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only, as TLS 1.3 has anyway."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a server's identity. ``client_ca``: clients must have a certificate of this CA."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    @classmethod
    def named(cls, cert: str | None, key: str | None, client_ca: str | None) -> TlsFiles | None:
        """The files of these names; None if no certificate is named."""
        if cert is None or key is None:
            return None
        ca = None if client_ca is None else files.expand(client_ca)
        return cls(files.expand(cert), files.expand(key), ca)

    def fingerprint(self) -> tuple[object, ...]:
        """Changes when one of the files is replaced or rewritten. Costs a stat(2) per file."""
        return tuple(_fingerprint(each) for each in (self.cert, self.key, self.client_ca) if each)


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A loaded certificate: what new connections are served with. Times are in Unix seconds."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    not_after: float
    sha256: str
    """The certificate's fingerprint, in hexadecimal."""
    pem: str


def load(paths: TlsFiles, now: float) -> LoadedCertificate:
    """Load and check certificate and key. ``now``: Unix time. Raises ConfigError."""
    leaf = _leaf(paths.cert)
    _check_key_file(paths.key)
    context = _context(paths)
    found = _try(context, leaf, paths)
    not_before, not_after = (
        float(ssl.cert_time_to_seconds(found[name])) for name in ("notBefore", "notAfter")
    )
    _check_dates(paths.cert, not_before, not_after, now)
    if paths.client_ca is not None:
        _require_clients(context, paths.client_ca)
    pem = ssl.DER_cert_to_PEM_cert(leaf)
    return LoadedCertificate(
        context, tuple(_names(found)), not_after, hashlib.sha256(leaf).hexdigest(), pem
    )


def _context(paths: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # Browsers offer h2 too, which has no upgrade.
    context.set_alpn_protocols(["http/1.1"])
    # A ticket costs a write per connection and saves a client that returns one signature.
    context.num_tickets = 0
    try:
        # Without a password, OpenSSL would prompt for that of an encrypted key on the terminal.
        context.load_cert_chain(paths.cert, paths.key, password="")
    except ssl.SSLError as error:
        raise _bad_pair(paths, error) from error
    except OSError as error:
        raise _unreadable("--tls-key", paths.key, error) from error
    return context


def _require_clients(context: ssl.SSLContext, path: Path) -> None:
    content = _read("--tls-client-ca", path)
    try:
        context.load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"--tls-client-ca {path} contains no certificates in PEM: {_reason(error)}",
            hint="it needs the certificate of the CA that signs the clients' certificates",
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED


def _leaf(path: Path) -> bytes:
    """The first certificate of the file, which is the server's own, in DER."""
    found = _CERTIFICATE.search(_read("--tls-cert", path))
    try:
        return ssl.PEM_cert_to_DER_cert("" if found is None else found[0].decode("ascii"))
    except ValueError as error:
        why = "no line has BEGIN CERTIFICATE" if found is None else str(error)
        raise ConfigError(
            f"--tls-cert {path} is not a certificate in PEM: {why}",
            hint="it must begin with the server's certificate, then the intermediate ones;"
            f" `openssl x509 -in {path} -noout -subject` shows it",
        ) from error


def _try(server: ssl.SSLContext, leaf: bytes, paths: TlsFiles) -> dict[str, Any]:
    """Shake hands in memory, as a client that trusts just this certificate; returns what the client sees."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        client.load_verify_locations(cadata=leaf)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client_side = client.wrap_bio(to_client, to_server)
        server_side = server.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(_FLIGHTS):
            for side in (client_side, server_side):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        return dict(client_side.getpeercert() or {})
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "verify_message", None) or _reason(error)
        raise ConfigError(
            f"clients would refuse the certificate in {paths.cert}: {why}",
            hint=f"`openssl x509 -in {paths.cert} -noout -text` shows what it may be used for",
        ) from error


def _check_dates(path: Path, not_before: float, not_after: float, now: float) -> None:
    if now > not_after:
        raise ConfigError(
            f"the certificate in {path} expired on {_date(not_after)}: no client would accept it",
            hint="renew it; if it is not expired, check this machine's clock with `date -u`",
        )
    if now < not_before:
        raise ConfigError(
            f"the certificate in {path} is valid only from {_date(not_before)} on",
            hint="check this machine's clock with `date -u`",
        )


def _date(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d at %H:%M} UTC"


def _check_key_file(path: Path) -> None:
    content = _read("--tls-key", path)
    if stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO:
        raise ConfigError(
            f"every user of this machine can read the private key {path}",
            hint=f"chmod o= {path}   (for a Kubernetes secret: `defaultMode: 0440`); if it was ever"
            " readable to others, replace it",
        )
    if b"ENCRYPTED" in content:
        raise ConfigError(
            f"the private key {path} is encrypted, and the service cannot ask for its password",
            hint="store it decrypted, readable by this user only:"
            f" `openssl pkey -in {path} -out PLAIN_KEY`",
        )
    if b"PRIVATE KEY-----" not in content:
        raise ConfigError(
            f"--tls-key {path} contains no private key in PEM",
            hint="is it the certificate? the key's file has a line with BEGIN PRIVATE KEY",
        )


def _bad_pair(paths: TlsFiles, error: ssl.SSLError) -> ConfigError:
    if error.reason == "KEY_VALUES_MISMATCH":
        return ConfigError(
            f"the key {paths.key} does not belong to the certificate {paths.cert}",
            hint="both must come from the same renewal; these print the same line if they belong"
            f" together: `openssl x509 -in {paths.cert} -noout -pubkey | sha256sum`,"
            f" `openssl pkey -in {paths.key} -pubout | sha256sum`",
        )
    return ConfigError(
        f"{paths.cert} and {paths.key} cannot be used: {_reason(error)}",
        hint="RSA keys need at least 2048 bits; `openssl s_server` explains more",
    )


def _names(found: dict[str, Any]) -> list[str]:
    """The names and addresses that a certificate is for."""
    names = [value for kind, value in found.get("subjectAltName", ()) if kind != "DirName"]
    return names or [common_name(found)]


def common_name(found: dict[str, Any]) -> str:
    """The common name of a certificate's subject, else its first alternative name; ``?`` if it has neither."""
    subject = dict(pair for part in found.get("subject", ()) for pair in part)
    others = [value for _, value in found.get("subjectAltName", ())]
    return str(subject.get("commonName") or (others[0] if others else "?"))


def _read(flag: str, path: Path) -> bytes:
    try:
        return files.read(path, MAX_FILE)[0]
    except OSError as error:
        raise _unreadable(flag, path, error) from error


def _unreadable(flag: str, path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot read {flag} {path}: {error.strerror or error}",
        hint=f"`ls -lL {path}` shows whether it exists and who may read it; this process runs as uid"
        f" {os.geteuid()}",
    )


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)


def _fingerprint(path: Path) -> object:
    try:
        # Follows links: a renewal often only changes where they point.
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
