"""The control plane's HTTP server, in its own thread with its own event loop.

It answers while the watched loop is stuck. Reads run in a few worker threads, so that a slow one does not
delay others; actions run in the watched loop (actions.py). Every answer, also a refusal, is JSON of a
type in qcfeed/model.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from aiohttp import web

from qcfeed.control import auth, http, paths, server_thread
from qcfeed.control import companion as companions
from qcfeed.control.actions import Actions
from qcfeed.control.audit import AuditLog
from qcfeed.control.dispatch import Dispatcher
from qcfeed.control.listeners import UnixListener, listen_tcp
from qcfeed.control.routes import Route
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.errors import QcfeedError, StartError
from qcfeed.metrics import memory
from qcfeed.net.acceptor import Acceptor
from qcfeed.net.descriptors import Reserve
from qcfeed.net.http_connections import HttpConnections, HttpLimits
from qcfeed.net.listen import SMALL_BACKLOG, format_address

READERS = 4
"""Reads that run at the same time; further ones wait."""

CONNECTIONS = 64
"""Connections without a request in progress, per listener (Unix socket and TCP separately); beyond them the
oldest one ends. As many again may have an authenticated request in progress.
"""
ANSWER_TIMEOUT = 300.0
"""Seconds that an action may take until its caller's connection ends; the action itself goes on."""

ACCEPTS_PER_TURN = 8
"""So few that a flood of new connections cannot evict one whose request is on its way."""

RESERVE = 8
"""Descriptors held in advance for connections, and for the files that answers read."""

Listening = list[tuple[sockets.socket, http.Authenticate]]


class ControlServer:
    """Serves ``routes`` for one instance on ``socket`` and, on request, on loopback TCP.

    ``loop``: the watched loop, in which actions run; ``watch`` measures it. ``listen``: host and port; ``port``
    is the actual port and ``tcp`` both, as in a URL. ``token``: the file of the bearer token.
    ``action_grace``: seconds that the watched loop has to start an action. ``companion``: takes requests that
    come another way, too. ``absent``: the error for requests that have no route here.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        instance: str,
        socket: Path,
        loop: asyncio.AbstractEventLoop,
        watch: LoopWatch,
        audit: AuditLog,
        listen: tuple[str, int] | None = None,
        token: Path | None = None,
        action_grace: float = 2.0,
        companion: companions.Companion | None = None,
        absent: Callable[[], QcfeedError] | None = None,
    ) -> None:
        self.instance = instance
        self.socket = socket
        self.port: int | None = None
        self.tcp: str | None = None
        self._routes = routes
        self._absent = absent
        self._companion = companion
        self._watched = loop
        self._watch = watch
        self._audit = audit
        self._listen = listen
        self._token = token or paths.token_path()
        self._grace = action_grace
        self._held = contextlib.ExitStack()
        self._connections: list[HttpConnections] = []
        self._dispatcher: Dispatcher | None = None

    @property
    def ended(self) -> Counter[str]:
        """Connections that the server ended, by reason, and malformed requests. From any thread."""
        return sum((each.ended for each in list(self._connections)), Counter())

    def read(self, path: str, params: Mapping[str, str]) -> bytes:
        """Answer a read in the calling thread, once the server has started; without secrets.

        Cost and errors are those of a request, but it uses no descriptor and waits for no thread. Raises
        QcfeedError.
        """
        if self._dispatcher is None:
            raise StartError("the control plane has not started", hint="try again")
        return self._dispatcher.read_here(path, params)

    def start(self, *, check_audit: bool = True) -> None:
        """Start the thread and return once it listens.

        ``check_audit``: whether the audit log must be writable; if it is not, actions are refused later.
        Raises StartError if the instance is already running or something cannot be created, ConfigError for an
        address that is not loopback, NotAllowedError for a token file that others can read. Then nothing is left
        running.
        """
        if check_audit:
            self._audit.check()
        with contextlib.suppress(OSError):  # they are read again when they are needed
            memory.prepare()
        with contextlib.ExitStack() as held:
            unix = held.enter_context(contextlib.closing(UnixListener(self.instance, self.socket)))
            forked = held.enter_context(server_thread.closed_in_children())
            forked.callback(unix.abandon)
            reserve = held.enter_context(contextlib.closing(Reserve(RESERVE)))
            forked.callback(reserve.close)
            self._audit.reserve = reserve
            listening: Listening = [(unix.socket, http.local_caller)]
            if self._listen is not None:
                tcp = held.enter_context(contextlib.closing(listen_tcp(*self._listen)))
                forked.callback(tcp.close)
                self.port = tcp.getsockname()[1]
                self.tcp = format_address(tcp)
                listening.append((tcp, http.bearer_of(auth.ensure_token(self._token), self.port)))
            held.callback(server_thread.start(partial(self._main, listening, reserve)))
            # Everything has started, so nothing is closed at the end of this block.
            self._held = held.pop_all()
            # In a forked child ``stop`` must do nothing: the thread and the socket's file are the
            # parent's.
            forked.callback(self._held.pop_all)

    def stop(self) -> None:
        """End and join the thread and remove the socket; also if it was never started.

        Takes up to about three seconds if actions run. From the watched loop, use
        ``await asyncio.to_thread(server.stop)``: actions can only end while that loop runs. In a forked child it
        does nothing: the thread and the files belong to the parent.
        """
        self._held.close()

    async def _main(
        self,
        listening: Listening,
        reserve: Reserve,
        ready: server_thread.Ready,
    ) -> None:
        """Runs in the thread until it is told to stop."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(READERS, "qcfeed-control-read"))
        actions = Actions(self._watched, self._watch, self._audit, grace=self._grace)
        dispatcher = Dispatcher(
            self._routes, self.instance, self._watch, actions, reserve, self._absent
        )
        self._dispatcher = dispatcher
        stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            for sock, authenticate in listening:
                name = (
                    "the control socket" if sock.family == sockets.AF_UNIX else "--control-listen"
                )
                connections = HttpConnections(
                    name,
                    HttpLimits.for_this_process(
                        most=CONNECTIONS, head=http.IDLE_TIMEOUT, answer=ANSWER_TIMEOUT
                    ),
                )
                # Before another thread of the program takes the descriptor that has become free.
                connections.on_ended = partial(_soon, loop, reserve.refill)
                self._connections.append(connections)
                runner = http.runner(dispatcher, authenticate, connections)
                # Unwound in reverse: actions end first; then each listener stops accepting, and its
                # handlers end.
                stack.push_async_callback(connections.close)
                stack.push_async_callback(runner.cleanup)
                stack.callback((await _serve(runner, connections, sock, reserve)).close)
            stack.push_async_callback(actions.close)
            await stack.enter_async_context(companions.running(self._companion, dispatcher.reply))
            ready.set_result(partial(loop.call_soon_threadsafe, stopping.set))
            await stopping.wait()


async def _serve(
    runner: web.AppRunner, connections: HttpConnections, sock: sockets.socket, reserve: Reserve
) -> Acceptor:
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 - setup() made it
    connections.serve(server)
    acceptor = Acceptor(
        asyncio.get_running_loop(),
        sock,
        connections.new,
        name=f"connections of {connections.name}",
        most_per_turn=ACCEPTS_PER_TURN,
        reserve=reserve,
    )
    acceptor.start(SMALL_BACKLOG)
    return acceptor


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    loop.call_soon(call)
