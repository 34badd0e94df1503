"""A chat server on a Unix socket. More and more people are connected and say nothing; each has two tasks.

Looks like: tasks that are created at a steady rate and never end. The addresses of their peers are empty.
"""

import asyncio
import contextlib
import tempfile

from benchmarks.leaks.program import run


class Person:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(self) -> None:
        while True:
            self.writer.write(await self.lines.get())


async def main(rate: float) -> None:
    people: set[Person] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        person = Person(writer)
        people.add(person)
        sending = asyncio.create_task(person.send())
        try:
            while line := await reader.readline():
                for each in people:
                    each.lines.put_nowait(line)
        finally:
            people.discard(person)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            writer.close()

    with tempfile.TemporaryDirectory() as folder:
        await asyncio.start_unix_server(serve, f"{folder}/chat")
        clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        while True:
            if len(clients) < 300:
                clients.append(await asyncio.open_unix_connection(f"{folder}/chat"))
            await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
