"""Each connection renews its lease: a task waits, starts the next one, and ends. Closing does not stop the chain.

Public bug: https://github.com/FreeOpcUa/opcua-asyncio/issues/10
"""

import asyncio

from benchmarks.leaks.program import run

renewals: set[asyncio.Task[None]] = set()


class Connection:
    def __init__(self) -> None:
        self.renewed = 0

    def renew_later(self) -> None:
        task = asyncio.create_task(self.renew())  # leak
        renewals.add(task)
        task.add_done_callback(renewals.discard)

    async def renew(self) -> None:
        await asyncio.sleep(3)  # waits
        self.renewed += 1
        self.renew_later()


async def main(rate: float) -> None:
    while True:
        Connection().renew_later()  # and it is closed at once
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
