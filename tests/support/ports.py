"""Ports at which nobody answers, for as long as a test needs that."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections until the end of the block.

    It is bound, so that the kernel gives it to nobody else, and nobody listens. Who sets SO_REUSEADDR,
    as asyncio and aiohttp do, may listen there all the same.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
