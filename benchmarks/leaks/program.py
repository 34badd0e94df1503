"""How each program runs: the same command line, and an end of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

SECONDS = 60.0
RATE = 5.0
STARTED = "started"

Main = Callable[[float], Coroutine[Any, Any, None]]
"""A program: it gets its rate, in leaked tasks (or, if it is sound, in new tasks) per second."""


def run(main: Main) -> None:
    """Run a program from the command line."""
    arguments = arguments_of(
        argparse.ArgumentParser(description="A program of the leak benchmark.")
    )
    asyncio.run(bounded(main, arguments.rate, arguments.seconds))


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds until it stops")
    parser.add_argument("--rate", type=float, default=RATE, help="tasks per second")
    return parser.parse_args()


async def bounded(
    main: Main,
    rate: float,
    seconds: float,
    inside: AbstractAsyncContextManager[None] | None = None,
) -> None:
    """Run ``main`` for ``seconds``, inside a context. `asyncio.run` then cancels what is left."""
    async with inside or contextlib.nullcontext():
        print(STARTED, flush=True)
        ended = []
        try:
            async with asyncio.timeout(seconds):
                await main(rate)
        except TimeoutError as error:
            ended.append(error)  # its traceback keeps the program's variables for what runs inside
    # Python 3.11 complains of every cancelled handler of a server.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
