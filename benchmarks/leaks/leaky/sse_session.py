"""Each event stream starts a session. The request ends when the client disconnects; the session does not.

Public bug: https://github.com/modelcontextprotocol/python-sdk/pull/612
"""

import asyncio

from benchmarks.leaks.program import run


class Session:
    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str] = asyncio.Queue()
        self.handled = 0

    async def run(self) -> None:
        while True:
            await self.incoming.get()  # waits
            self.handled += 1


class Server:
    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}

    async def stream_events(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        session = self.sessions[len(self.sessions)] = Session()
        asyncio.create_task(session.run())  # leak
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endpoint\n\n"
        )
        await reader.read()  # until the client disconnects
        writer.close()


async def main(rate: float) -> None:
    server = await asyncio.start_server(Server().stream_events, "127.0.0.1", 0)
    while True:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.readline()
        await asyncio.sleep(1 / rate)
        writer.close()


if __name__ == "__main__":
    run(main)
