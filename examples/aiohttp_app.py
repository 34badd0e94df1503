"""An aiohttp application with a bug: a user's reminders go on running after logout."""

import asyncio
import os
from collections.abc import AsyncIterator

from aiohttp import web

from qcfeed import attach
from qcfeed.diagnostics.ledger import owned_by


class Session:
    """The owner of its reminders. Any object with ``closed`` can be an owner."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.closed = False
        self.reminders: list[asyncio.Task[None]] = []

    def __str__(self) -> str:
        return f"session of {self.user}"


SESSIONS = web.AppKey("SESSIONS", dict[str, Session])


async def remind() -> None:
    await asyncio.sleep(3600)


async def log_in(request: web.Request) -> web.Response:
    user = request.match_info["user"]
    session = request.app[SESSIONS][user] = Session(user)
    with owned_by(session):
        session.reminders.append(asyncio.create_task(remind()))
    return web.Response(text=f"hello {user}\n")


async def log_out(request: web.Request) -> web.Response:
    session = request.app[SESSIONS].pop(request.match_info["user"])
    session.closed = True  # the bug: its reminders are not cancelled
    return web.Response(text="bye\n")


async def attach_qcfeed(app: web.Application) -> AsyncIterator[None]:
    async with attach("billing"):
        yield


def application() -> web.Application:
    app = web.Application()
    app[SESSIONS] = {}
    app.router.add_get("/login/{user}", log_in)
    app.router.add_get("/logout/{user}", log_out)
    app.cleanup_ctx.append(attach_qcfeed)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
