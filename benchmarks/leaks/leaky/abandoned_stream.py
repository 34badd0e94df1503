"""An async generator stops its background task in ``finally``. Its caller breaks off and keeps the generator.

Public bug: https://github.com/pocketpaw/pocketpaw/pull/1103
"""

import asyncio
from collections.abc import AsyncIterator

from benchmarks.leaks.program import run


async def produce(words: asyncio.Queue[str]) -> None:
    while True:
        for word in ("one", "two", "stop"):
            await words.put(word)  # waits


async def answer() -> AsyncIterator[str]:
    words: asyncio.Queue[str] = asyncio.Queue(maxsize=2)
    producer = asyncio.create_task(produce(words))  # leak
    try:
        while True:
            yield await words.get()
    finally:
        producer.cancel()


async def main(rate: float) -> None:
    history = []
    while True:
        stream = answer()
        history.append(stream)
        async for word in stream:
            if word == "stop":
                break
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
