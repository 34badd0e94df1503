"""A call with a timeout is shielded against cancellation. The caller gives up; the call waits for ever.

Public bug: https://github.com/estuary/connectors/pull/4748
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run


class TokenService:
    """It has hung: nobody completes its answers."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[str]] = []

    async def exchange(self) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return await answer  # waits


async def main(rate: float) -> None:
    service = TokenService()
    while True:
        with contextlib.suppress(TimeoutError):
            call = asyncio.create_task(service.exchange())  # leak
            await asyncio.wait_for(asyncio.shield(call), timeout=1 / rate)


if __name__ == "__main__":
    run(main)
