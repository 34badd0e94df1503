"""The URL of a service's WebSocket port: ``ws://HOST:PORT``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from qcfeed.errors import UsageError
from qcfeed.model.symbol import Symbol

_PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A scheme (``ws`` or ``wss``), a host without brackets and a port."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """``HOST:PORT``, with an IPv6 address in brackets, as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def quotes(self, symbol: Symbol) -> str:
        """The URL of one symbol's quotes."""
        return f"{self}/quotes/{symbol}"

    @property
    def stream(self) -> str:
        """The URL for connections with many symbols."""
        return f"{self}/stream"


def parse(text: str) -> Endpoint:
    """Parse ws[s]://HOST[:PORT]. Raises UsageError for anything else."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise _bad(text, str(error)) from error
    if url.scheme not in _PORTS:
        raise _bad(text, "it must start with ws:// or wss://")
    if not url.hostname:
        raise _bad(text, "it has no host")
    if _has_more(url):
        raise _bad(text, "it must have only a host and a port; give symbols separately")
    return Endpoint(url.scheme, url.hostname, _PORTS[url.scheme] if port is None else port)


def explain(error: OSError) -> str:
    """Why a connection failed, as the system describes it; asyncio's text names only the address."""
    import ssl  # imported here: TLS is rare, and the import is slow

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if error.errno is not None and error.errno > 0:  # getaddrinfo's numbers are negative
        return os.strerror(error.errno)
    return error.strerror or str(error) or f"the connection was lost ({type(error).__name__})"


def _has_more(url: SplitResult) -> bool:
    return url.path not in ("", "/") or bool(url.query or url.fragment or url.username)


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a server's URL: {why}", hint="for example ws://127.0.0.1:8006"
    )
