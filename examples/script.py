"""A script that works through a list. Its progress can be inspected while it runs."""

import asyncio

from qcfeed import attach


async def fetch(page: int) -> None:
    await asyncio.sleep(60 + page)


async def main() -> None:
    with attach("nightly"):
        async with asyncio.TaskGroup() as group:
            for page in range(20):
                group.create_task(fetch(page))


if __name__ == "__main__":
    asyncio.run(main())
