"""A client reconnects once per second. Its keep-alive task is stopped whenever the connection ends.

Looks like: a keep-alive task per reconnect.
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class Client:
    async def stay_connected(self, address: tuple[str, int]) -> None:
        while True:
            reader, writer = await asyncio.open_connection(*address)
            keep_alive = asyncio.create_task(self.send_pings(writer))
            with contextlib.suppress(ConnectionError):
                await reader.read()  # until the server closes the connection
            keep_alive.cancel()
            writer.close()

    async def send_pings(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"ping\n")
            await asyncio.sleep(2)


async def main(rate: float) -> None:
    async def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5 / rate)
        writer.close()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    clients = [Client().stay_connected(server.sockets[0].getsockname()) for _ in range(5)]
    await asyncio.gather(*clients)


if __name__ == "__main__":
    run(main)
