"""A program with qcfeed.attach in it that uses every descriptor it may have, and keeps trying."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys

import qcfeed


async def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    async with qcfeed.attach("hog"):
        held: list[int] = []
        while True:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            sys.stdout.write("used up\n")
            sys.stdout.flush()
            await asyncio.sleep(1)


asyncio.run(main())
