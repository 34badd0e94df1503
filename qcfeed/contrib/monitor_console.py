"""The Python console of aiomonitor's telnet view, without a port of its own.

aiomonitor opens a TCP port for each console, and runs every line that any process of this machine sends
to it. A web page can send such lines too: the body of an HTTP POST. Here both ends are a socket pair.
The functions take the place of those in ``aiomonitor.console``.
"""

from __future__ import annotations

import asyncio
import socket
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aioconsole
from aiomonitor.console import ConsoleProxy

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

_user_end: ContextVar[socket.socket] = ContextVar("user_end")
"""The end of the user's session, from ``start`` to ``proxy``."""


class Console:
    """A console that runs in the service's loop until its input ends or ``close``."""

    def __init__(self, end: socket.socket, names: dict[str, Any] | None) -> None:
        self._end = end
        self._names = names
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="monitor console")

    async def _run(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._end)
        try:
            console = aioconsole.AsynchronousConsole(
                streams=(reader, writer), locals=self._names, loop=asyncio.get_running_loop()
            )
            await console.interact(stop=False, handle_sigint=False)
        finally:
            writer.close()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


async def start(
    host: str,  # noqa: ARG001 -- aiomonitor's signature
    port: int,  # noqa: ARG001
    locals: dict[str, Any] | None,  # noqa: A002
    monitor_loop: asyncio.AbstractEventLoop,
) -> Console:
    """Start a console in the monitored loop; ``proxy`` in the same context talks to it."""
    mine, its = socket.socketpair()
    for end in mine, its:
        end.setblocking(False)
    _user_end.set(mine)
    console = Console(its, locals)
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(console.open(), monitor_loop))
    return console


async def close(server: Console, monitor_loop: asyncio.AbstractEventLoop) -> None:
    """End the console."""
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(server.close(), monitor_loop))


async def proxy(sin: Input, sout: Output, host: str, port: int) -> None:
    """Pass the user's lines to the console, and its output to the user."""
    async with _Proxy(sin, sout, host, port) as session:
        await session.interact()


class _Proxy(ConsoleProxy):  # type: ignore[misc]
    """Connected to the socket pair instead of a port."""

    async def __aenter__(self) -> _Proxy:
        self._stdout.write_raw("\r\n")
        self._conn_reader, self._conn_writer = await asyncio.open_connection(sock=_user_end.get())
        self._closed = asyncio.Event()
        self._recv_task = asyncio.create_task(self._handle_received())
        self._input_task = asyncio.create_task(self._handle_user_input())
        return self
