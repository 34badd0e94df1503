"""A reader that takes nothing, and so many quotes that it falls behind, and no more.

Published by the test itself: a steady rate would leave others behind, too, on a busy machine.
"""

from __future__ import annotations

import asyncio

from qcfeed.ws.connection import WebSocketConnection
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient
from tests.support.running_service import Running, until
from tests.support.scripted_upstream import TICK, ScriptedUpstream


def connection_of(running: Running, client: RawClient) -> WebSocketConnection:
    (found,) = (
        each
        for each in running.service.gateway.connections
        if each.peer.endswith(f":{client.port}")
    )
    return found


async def stall(
    running: Running, upstream: ScriptedUpstream, client: RawClient
) -> WebSocketConnection:
    """Publish until the client, which reads nothing, is over its limit."""
    client.deafen()
    stopped = connection_of(running, client)
    others = running.service.gateway.connections - {stopped}
    for _ in range(20_000):
        publish(upstream, 1)
        await asyncio.sleep(0)
        # On a busy machine the kernel may be late, even for clients that read at once.
        await until(lambda: all(each.writable for each in others), "the others have it")
        if stopped.backlog.over_limit:
            break
    assert stopped.backlog.over_limit
    return stopped


async def fall_behind(
    upstream: ScriptedUpstream, stopped: WebSocketConnection, quotes: int
) -> None:
    """Publish until ``stopped`` (see ``stall``) will be told that it missed at least so many.

    A number that is published would not do: a busy machine's kernel may take some of them yet.
    """
    backlog = stopped.backlog
    async with asyncio.timeout(PATIENCE):
        while not (backlog.over_limit and backlog.behind >= backlog.limit + quotes):
            publish(upstream, 1)
            await asyncio.sleep(0)


def publish(upstream: ScriptedUpstream, count: int) -> None:
    for sink in upstream.sinks:
        sink.publish([TICK] * count)
