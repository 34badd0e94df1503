"""A command waits for its reply without a timeout. The device answers every second command only.

Public bug: https://github.com/dknowles2/pytboss/issues/510
"""

import asyncio

from benchmarks.leaks.program import run


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.replies: dict[int, asyncio.Future[None]] = {}

    async def send(self, number: int) -> None:
        self.replies[number] = asyncio.get_running_loop().create_future()
        self.writer.write(b"%d\n" % number)
        await self.replies[number]  # waits

    async def receive(self) -> None:
        while line := await self.reader.readline():
            self.replies.pop(int(line)).set_result(None)


async def answer_even(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        if int(line) % 2 == 0:
            writer.write(line)


async def main(rate: float) -> None:
    server = await asyncio.start_server(answer_even, "127.0.0.1", 0)
    client = Client(*await asyncio.open_connection(*server.sockets[0].getsockname()))
    commands: list[asyncio.Task[None]] = [asyncio.create_task(client.receive())]
    while True:
        commands.append(asyncio.create_task(client.send(len(commands))))  # leak
        await asyncio.sleep(0.5 / rate)


if __name__ == "__main__":
    run(main)
