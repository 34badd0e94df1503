"""A client starts a keep-alive task whenever it reconnects, and does not stop the one before.

Public bug: https://github.com/nautechsystems/nautilus_trader/pull/1986
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Client:
    writer: asyncio.StreamWriter

    async def stay_connected(self, port: int) -> None:
        while True:
            reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
            self.keep_alive = asyncio.create_task(self.send_pings())  # leak
            with contextlib.suppress(ConnectionError):
                await reader.read()  # until the server closes the connection
            self.writer.close()

    async def send_pings(self) -> None:
        while True:
            self.writer.write(b"ping\n")
            await asyncio.sleep(2)  # waits


async def main(rate: float) -> None:
    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1 / rate)
        writer.close()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    await Client().stay_connected(server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    run(main)
