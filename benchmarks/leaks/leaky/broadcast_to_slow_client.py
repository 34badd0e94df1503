"""Each broadcast is a task that sends to all clients in turn. One client has stopped reading.

The tasks hold an open connection, but all of them the same one.

Public bug: https://github.com/auntiepickle/totalmix-osc-bridge/issues/32
"""

import asyncio

from benchmarks.leaks.program import run

FILLS_ALL_BUFFERS = bytes(8_000_000)


class Bridge:
    def __init__(self) -> None:
        self.clients: list[asyncio.StreamWriter] = []
        self.broadcasts: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(FILLS_ALL_BUFFERS)
        self.clients.append(writer)
        await reader.read()

    async def send_to_all(self, update: bytes) -> None:
        for client in self.clients:
            client.write(update)
            await client.drain()  # waits


async def main(rate: float) -> None:
    bridge = Bridge()
    server = await asyncio.start_server(bridge.serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await reader.readexactly(1)
    while not writer.is_closing():
        bridge.broadcasts.add(asyncio.create_task(bridge.send_to_all(b"update\n")))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
