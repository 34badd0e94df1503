"""A session's mailbox is read until it logs out, half a minute later. Every second session never does.

Common fault: cleaning up only at the regular end.
"""

import asyncio

from benchmarks.leaks.program import run


class Session:
    def __init__(self) -> None:
        self.mail: asyncio.Queue[str | None] = asyncio.Queue()

    async def read_mail(self) -> None:
        while await self.mail.get() is not None:  # waits
            pass

    def log_out(self) -> None:
        self.mail.put_nowait(None)


async def main(rate: float) -> None:
    sessions: list[Session] = []
    tasks: set[asyncio.Task[None]] = set()
    while True:
        session = Session()
        sessions.append(session)
        tasks.add(asyncio.create_task(session.read_mail()))  # leak
        if len(sessions) % 2:
            asyncio.get_running_loop().call_later(30, session.log_out)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
