"""Each heartbeat waits for "the next beat or the end of the stream". The loser of this race is never cancelled.

Public bug: https://github.com/gradio-app/gradio/pull/10892
"""

import asyncio

from benchmarks.leaks.program import run


async def heartbeats(stopped: asyncio.Event, rate: float) -> None:
    while True:
        beat = asyncio.create_task(asyncio.sleep(1 / rate))
        stop = asyncio.create_task(stopped.wait())  # leak
        done, _ = await asyncio.wait({beat, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stop in done:
            return


async def main(rate: float) -> None:
    await heartbeats(asyncio.Event(), rate)


if __name__ == "__main__":
    run(main)
