"""The URL of a service's WebSocket port: ``ws://HOST:PORT``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from qcfeed.errors import UsageError
from qcfeed.model import symbol as symbols
from qcfeed.model.symbol import Symbol

_QUOTES = re.compile(r"/quotes/([^/]+)")
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "PACKET_LENGTH_TOO_LONG",
    "HTTP_REQUEST",
    "RECORD_LAYER_FAILURE",
)
"""How OpenSSL says that the answer to its handshake was none."""
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
    """Parse ws[s]://HOST[:PORT], or the URL of its stream. Raises UsageError for anything else."""
    endpoint, symbol = parse_url(text)
    if symbol is not None:
        raise _bad(text, "it must have only a host and a port; give symbols separately")
    return endpoint


def parse_url(text: str) -> tuple[Endpoint, Symbol | None]:
    """Parse the URL that a WebSocket client takes, and the symbol in it.

    ws[s]://HOST[:PORT], and the same with /stream or /quotes/SYMBOL. Raises UsageError for anything else,
    and InvalidSymbolError.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise _bad(text, str(error)) from error
    if url.scheme not in _PORTS:
        raise _bad(text, "it must start with ws:// or wss://")
    if not url.hostname:
        raise _bad(text, "it has no host")
    quoted = _QUOTES.fullmatch(url.path)
    if _has_more(url) or not (quoted or url.path in ("", "/", "/stream")):
        raise _bad(text, "after host and port it may have /stream or /quotes/SYMBOL")
    endpoint = Endpoint(url.scheme, url.hostname, _PORTS[url.scheme] if port is None else port)
    return endpoint, symbols.parse(unquote(quoted[1])) if quoted else None


def explain(error: OSError) -> str:
    """Why a connection failed, as the system describes it; asyncio's text names only the address."""
    import ssl  # imported here: TLS is rare, and the import is slow

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return "it does not speak TLS: try ws:// instead of wss://"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if error.errno is not None and error.errno > 0:  # getaddrinfo's numbers are negative
        return os.strerror(error.errno)
    return error.strerror or str(error) or f"the connection was lost ({type(error).__name__})"


def _has_more(url: SplitResult) -> bool:
    return bool(url.query or url.fragment or url.username)


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a server's URL: {why}", hint="for example ws://127.0.0.1:8006"
    )
