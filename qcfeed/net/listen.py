"""Taking a port, with an error that says what to do when it cannot be had."""

from __future__ import annotations

import errno
import os
import socket

from qcfeed.errors import ConfigError, StartError

BACKLOG = 4_096
"""Connections the kernel keeps until we accept them; a restart brings everybody back at once."""

MOST = 65_535
"""The highest port."""


def parse(text: str, flag: str) -> tuple[str, int]:
    """HOST:PORT (an IPv6 host in brackets) as its two parts; raises ConfigError, naming ``flag``."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) <= MOST):
        raise ConfigError(
            f"{flag} is {text!r}, which is not HOST:PORT", hint=f"for example {flag} 127.0.0.1:9006"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def bind(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """A TCP socket bound to ``host`` and ``port`` (0: any free one), not listening yet.

    ``shared``: others may bind and listen there, too, if they say so and are the same user's; the
    kernel spreads connections over them (SO_REUSEPORT, socket(7)). Raises StartError, naming ``flag``.
    """
    if port > MOST:  # getaddrinfo would take it modulo 65,536
        raise StartError(f"{port} is no port", hint=f"ports go from 1 to {MOST}; 0 is any free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol left out asyncio does not know it for TCP, and sets no TCP_NODELAY.
        taken = socket.socket(family, kind, protocol)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taken.bind(address)
        except OSError:
            taken.close()
            raise
    except OSError as error:
        raise explain(error, host, port, flag) from error
    return taken


def shown(bound: socket.socket) -> str:
    """HOST:PORT as it goes into a URL."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def explain(error: OSError, host: str, port: int, flag: str) -> StartError:
    """What ``error`` means to whoever asked for ``flag``."""
    if error.errno == errno.EADDRINUSE:
        sharing = ", --reuse-port on all of them shares it" if flag == "--port" else ""
        return StartError(
            f"port {port} on {host} is taken",
            hint=f"`{flag} 0` takes any free one{sharing};"
            f" `ss -ltnp 'sport = :{port}'` shows who has it",
        )
    if error.errno == errno.EACCES:
        return StartError(
            f"this user may not take port {port}",
            hint="ports below 1024 are the system's; take another",
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return StartError(
            f"{host} is no address of this machine",
            hint="127.0.0.1 for this machine, 0.0.0.0 for all",
        )
    return StartError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}")
