"""Helpers around nats-py: its late import, its read buffer, its errors as text, and reliable cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qcfeed.errors import ConfigError

if TYPE_CHECKING:
    from nats.aio.client import Client

READ_BYTES = 262_144
"""Bytes to read at once. By arithmetic, not measured: with nats-py's 32 KiB, a loop whose turns take 50 ms takes in
20 x 32 KiB per second, fewer than 3,000 quotes of 230 bytes."""
_CANCEL_AGAIN = 0.1
"""Seconds after which a task that has not ended is cancelled again."""


def client_class() -> type[Client]:
    try:
        from nats.aio.client import Client
    except ImportError as error:
        raise ConfigError(
            "the NATS client is not installed", hint="`pip install 'qcfeed[cluster]'`"
        ) from error
    return Client


def read_much_at_once() -> None:
    from nats.aio import client

    client.DEFAULT_BUFFER_SIZE = READ_BYTES


def refusal(servers: str, why: str) -> str:
    """The error for a connection that a server refused, with the options to check."""
    known = why.lower()
    if "authorization" in known or "authentication" in known or "nkey" in known:
        return f"{servers} refuses the login: {why}; see --nats-user, --nats-token-file, --nats-nkey and --nats-creds"
    if "certificate required" in known or "bad certificate" in known or "unknown ca" in known:
        return f"{servers} refuses the client certificate: {why}; see --nats-cert and --nats-key"
    if "certificate verify failed" in known:
        return f"cannot trust {servers}: {why}; see --nats-ca"
    if "tls" in known and servers.startswith("nats://"):
        return f"{servers} requires TLS: {why}; write tls:// in place of nats://"
    return f"cannot connect to {servers}: {why}"


def describe(error: BaseException) -> str:
    """The error as text: its message, or its type, because many of nats-py's errors have no message."""
    text = str(error).removeprefix("nats: ")
    return text or type(error).__name__


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks that use a connection, and join them. They must end at once when they are cancelled."""
    while left := [task for task in tasks if not task.done()]:
        for each in left:
            each.cancel()
        # Repeated, because nats-py catches CancelledError in some of its waits.
        await asyncio.wait(left, timeout=_CANCEL_AGAIN)


def raise_if_cancelled() -> None:
    """Raise CancelledError if this task was cancelled: nats-py may have caught it while flushing."""
    if is_cancelled():
        raise asyncio.CancelledError


def is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
