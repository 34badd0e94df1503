"""A Starlette application with a bug: each request leaves behind a task that waits forever."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from qcfeed import attach

refreshing: set[asyncio.Task[None]] = set()
changed = asyncio.Event()


async def refresh() -> None:
    await changed.wait()


async def price(request: Request) -> PlainTextResponse:
    refreshing.add(asyncio.create_task(refresh()))
    return PlainTextResponse("189.99\n")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with attach("shop"):
        yield


app = Starlette(routes=[Route("/price", price)], lifespan=lifespan)
