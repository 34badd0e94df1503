"""An echo client made of `watch`'s connection, for Autobahn's fuzzing server."""

from __future__ import annotations

import asyncio
import sys

import aiohttp

from qcfeed.client import websocket

AGENT = "watch"
LARGEST = 2**25
"""Bytes of the largest message; the suite sends 16 MiB."""
_MESSAGES = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)


async def _echo(session: aiohttp.ClientSession, url: str) -> None:
    async with await websocket.connect(session, url, max_message=LARGEST) as socket:
        while (message := await websocket.receive(socket)).type in _MESSAGES:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)


async def _count(session: aiohttp.ClientSession, url: str) -> int:
    async with await websocket.connect(session, f"{url}/getCaseCount") as socket:
        return int((await websocket.receive(socket)).data)


async def run(url: str) -> None:
    """Run every case that the fuzzing server at ``url`` has, then let it write its reports."""
    async with aiohttp.ClientSession() as session:
        for case in range(1, 1 + await _count(session, url)):
            try:
                await _echo(session, f"{url}/runCase?case={case}&agent={AGENT}")
            except (aiohttp.ClientError, ConnectionError) as error:
                print(f"case {case}: {error}", file=sys.stderr)
        await _echo(session, f"{url}/updateReports?agent={AGENT}")


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
