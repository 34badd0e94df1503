"""A handler waits for the next event of its client, and never looks whether the client is still there.

The clients' sockets stay in CLOSE_WAIT, each with the task of its handler.

Public bug: https://github.com/lablup/backend.ai/pull/12686
"""

import asyncio

from benchmarks.leaks.program import run

subscriptions: list[asyncio.Queue[bytes]] = []


async def push_events(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # leak
    events: asyncio.Queue[bytes] = asyncio.Queue()
    subscriptions.append(events)
    writer.write(b"hello\n")
    while True:
        writer.write(await events.get())  # waits


async def main(rate: float) -> None:
    server = await asyncio.start_server(push_events, "127.0.0.1", 0)
    while True:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.readline()
        writer.close()
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
