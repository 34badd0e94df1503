"""Opens a WebSocket with aiohttp, and receives from it by the book.

aiohttp accepts 1006 in a close frame, and answers every close frame with 1000.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp

if TYPE_CHECKING:  # not generic in every supported version
    WebSocket: TypeAlias = aiohttp.ClientWebSocketResponse[Any]

HEARTBEAT = 20.0
"""Seconds without data until a ping is sent."""
PROTOCOL_ERROR = 1002
_CLOSE_TIMEOUT = 2.0
_NEVER_SENT = frozenset((1005, 1006, 1015))
"""Codes that report a missing close frame, so no frame may contain them (RFC 6455 section 7.4.1)."""


async def connect(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    max_message: int = 4 * 2**20,
    tls: ssl.SSLContext | None = None,
) -> WebSocket:
    """Connect and upgrade, with further ``headers``. ``max_message``: bytes; a longer message is an ERROR.

    ``tls``: for wss://; None: aiohttp's own, which trusts the system's CAs.

    Raises aiohttp.ClientError, and whatever the session's middlewares raise.
    """
    return await session.ws_connect(
        url,
        headers=headers,
        heartbeat=HEARTBEAT,
        autoclose=False,
        max_msg_size=max_message,
        ssl=True if tls is None else tls,
        timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT),
    )


async def receive(socket: WebSocket) -> aiohttp.WSMessage:
    """The next message; a close frame is answered first. A violation of the protocol is an ERROR."""
    frame = await socket.receive()
    if frame.type is aiohttp.WSMsgType.CLOSE:
        code: int = frame.data
        if code in _NEVER_SENT:
            await socket.close(code=PROTOCOL_ERROR)
            error = aiohttp.WebSocketError(PROTOCOL_ERROR, f"Invalid close code: {code}")
            return aiohttp.WSMessage(aiohttp.WSMsgType.ERROR, error, None)
        await socket.close(code=code or aiohttp.WSCloseCode.OK)  # 0: the frame had no code
    return frame


async def close(socket: WebSocket) -> None:
    """Do the closing handshake, in bounded time whatever the server sends meanwhile.

    aiohttp's own timeout begins anew with each frame that is not the answer.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await socket.close()
