"""Binds listening sockets, with errors that say what to do about them."""

from __future__ import annotations

import errno
import os
import socket

from qcfeed import numbers
from qcfeed.access.client_address import join_host_port
from qcfeed.errors import ConfigError, StartError

BACKLOG = 4_096
"""Connections the kernel queues until they are accepted; after a restart all clients reconnect at once."""

SMALL_BACKLOG = 128
"""The same on ports that only operators and their tools use."""


def parse_address(text: str, flag: str) -> tuple[str, int]:
    """Parse HOST:PORT, with an IPv6 host in brackets. Raises ConfigError, naming ``flag``."""
    host, colon, port = text.rpartition(":")
    number = numbers.whole(port, numbers.MAX_PORT)
    if not (colon and host) or number is None:
        raise ConfigError(
            f"{flag} is {text!r}, which is not HOST:PORT", hint=f"for example {flag} 127.0.0.1:9006"
        )
    return host.removeprefix("[").removesuffix("]"), number


def bind(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """A TCP socket bound to ``host`` and ``port`` (0: any free port), not listening yet.

    ``shared``: let other processes of the same user bind the same port with SO_REUSEPORT; the kernel
    spreads connections over them (socket(7)). Raises StartError, naming ``flag``.
    """
    if port > numbers.MAX_PORT:  # getaddrinfo would silently reduce it modulo 65,536
        raise StartError(
            f"{port} is not a port",
            hint=f"ports go from 1 to {numbers.MAX_PORT}; 0 picks any free port",
        )
    try:
        # The first address only: a host name such as localhost may have one for IPv4 and one for IPv6.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio sets TCP_NODELAY only on sockets whose protocol is IPPROTO_TCP, not 0.
        taken = socket.socket(family, kind, protocol)
        try:
            # After a restart, connections in TIME_WAIT would otherwise block the port for a minute.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taken.bind(address)
        except OSError:
            taken.close()
            raise
    except OSError as error:
        raise listen_error(error, host, port, flag) from error
    return taken


def format_address(bound: socket.socket) -> str:
    """The socket's address as HOST:PORT, with an IPv6 host in brackets, as in a URL."""
    host, port = bound.getsockname()[:2]
    return join_host_port(host, port)


def listen_error(error: OSError, host: str, port: int, flag: str) -> StartError:
    """A StartError that explains why ``host:port``, given by ``flag``, cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        sharing = ", --reuse-port on every instance shares it" if flag == "--port" else ""
        return StartError(
            f"port {port} on {host} is in use",
            hint=f"`{flag} 0` picks any free port{sharing};"
            f" `ss -ltnp 'sport = :{port}'` shows which process uses it",
        )
    if error.errno == errno.EACCES:
        return StartError(
            f"this user is not allowed to bind port {port}",
            hint="ports below 1024 are privileged; choose another",
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return StartError(
            f"{host} is not an address of this machine",
            hint="use 127.0.0.1 for this machine only, 0.0.0.0 for all interfaces",
        )
    return StartError(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}")
