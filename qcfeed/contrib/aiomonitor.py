"""Runs aiomonitor's telnet and web views of the tasks beside the service, on loopback.

We provide the sockets and the thread: aiomonitor's own start hangs if its web port is in use, shares
its port with any process that asks for it, and leaks a session per client that connects and sends
nothing. Its task factory is not used; the lists come from the ledger (contrib/aiomonitor_views.py).

Security: both views listen on 127.0.0.1 only and are read-only (cancelling and signals are refused),
the web view rejects foreign ``Host`` and ``Origin`` headers, and the Python console is off by default.
There is no authentication: anybody with a shell on this machine can read the tasks' names and stacks
and, with the console on, run code as this user.

Cost with 47,829 live tasks: the web list blocks the service's loop for at most 10 ms, the telnet list
for at most 30 ms; aiomonitor's own lists for 150 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import threading
import warnings
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING

from aiohttp import web

from qcfeed.config import Config
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.errors import MonitorUnavailableError, StartError
from qcfeed.net import descriptors, listen
from qcfeed.net.acceptor import Acceptor
from qcfeed.net.descriptors import OUT_OF_RESOURCES
from qcfeed.net.http_connections import HttpConnections, HttpLimits

if TYPE_CHECKING:
    from prompt_toolkit.contrib.telnet.server import TelnetConnection

    from qcfeed.contrib.aiomonitor_views import TaskViews

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
START_TIMEOUT = 10.0
CLOSE_TIMEOUT = 10.0
NEGOTIATION_TIMEOUT = 5.0
"""Seconds for a telnet client to negotiate its terminal type."""
_IAC = b"\xff"
"""Begins every command of the telnet protocol (RFC 854)."""
MAX_SESSIONS = 16
"""Telnet sessions at the same time; each takes several descriptors."""
_SHARE_OF_DESCRIPTORS = 16
"""Descriptors that the process may open, per telnet session."""
_SEND_TIMEOUT = 2.0
"""Seconds for which a telnet client that does not read may block the views."""
_ACCEPT_RETRY = 1.0
"""Seconds until accepting is retried, for example without free descriptors; the same as asyncio's."""
_KNOWN_WARNINGS: tuple[tuple[str, type[Warning], str], ...] = (
    # Removed in Python 3.16, which aioconsole does not support (docs/adr/0024).
    (r"'asyncio\.DefaultEventLoopPolicy' is deprecated", DeprecationWarning, r"aioconsole\.events"),
    # Removed in click 9, which pyproject.toml excludes.
    (r"Importing 'parser\.split_arg_string' is", DeprecationWarning, r"aiomonitor\.termui\."),
    (r"It is recommended to use web\.AppKey", web.NotAppKeyWarning, r"aiomonitor\.webui\.app"),
)
"""Warnings of aiomonitor's modules that our users cannot fix: message, category, module."""


class _Client(socket.socket):
    """A telnet client's socket that works around prompt_toolkit's assumptions.

    prompt_toolkit calls ``send`` once and loses what did not fit, and prints the traceback of a
    client's reset on our terminal.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self._speaks_telnet = False
        self.settimeout(_SEND_TIMEOUT)

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        """Send everything; on failure shut the socket down, so the session reads EOF and ends."""
        try:
            self.sendall(data, flags)
        except OSError as error:
            log.debug("cannot send to a telnet client: %s", error)
            with contextlib.suppress(OSError):
                self.shutdown(socket.SHUT_RDWR)
        return len(data)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Received data; empty, as at EOF, if the client has reset the connection.

        Also if it does not speak telnet: a web page can make its reader's browser send an HTTP request
        here, with any body, but that begins with a method. A telnet client answers our negotiation.
        """
        try:
            data = super().recv(size, flags)
        except OSError:
            return b""
        if not self._speaks_telnet:
            self._speaks_telnet = data.startswith(_IAC)
            if data and not self._speaks_telnet:
                log.warning(
                    "closed a telnet connection whose client does not negotiate, but sends data"
                )
                with contextlib.suppress(OSError):
                    self.shutdown(socket.SHUT_RDWR)
        return data if self._speaks_telnet else b""


class Monitor:
    """aiomonitor's two views, served by their own thread until ``close``."""

    def __init__(self, views: TaskViews, telnet: socket.socket, web_view: socket.socket) -> None:
        self.telnet = listen.format_address(telnet)
        self.web = f"http://{listen.format_address(web_view)}"
        self._views = views
        self._listeners = telnet, web_view
        self.ended: Counter[str] = Counter()
        """Connections that the web view ended, by reason, and malformed requests."""
        self._sessions = 0
        self._ready: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="qcfeed-monitor", daemon=True)

    def start(self) -> None:
        """Serve both views. Raises StartError if they are not ready within 10 s."""
        self._thread.start()
        try:
            self._ready.result(START_TIMEOUT)
        except Exception as error:
            self.close()
            raise StartError(
                f"aiomonitor did not start: {str(error) or type(error).__name__}",
                hint="use --no-monitor to run without it",
            ) from error

    def close(self) -> None:
        """End the sessions, free both ports and join the thread, within at most 10 s.

        If a Python console may be open, call it outside the service's loop, in which the console ends.
        """
        if self._loop is not None and self._serving is not None:
            with contextlib.suppress(RuntimeError):  # the thread has already closed its loop
                self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(CLOSE_TIMEOUT)
        if self._thread.is_alive():
            log.error("the monitor's thread did not stop within %g s", CLOSE_TIMEOUT)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            pass
        except Exception as error:
            # Afterwards nobody waits for the result.
            if self._ready.done():
                log.exception("the monitor failed; the service continues without it")
            else:
                self._ready.set_exception(error)
        finally:
            for listener in self._listeners:
                listener.close()

    async def _serve(self) -> None:
        from qcfeed.contrib.aiomonitor_views import web_application

        telnet, web_view = self._listeners
        loop = asyncio.get_running_loop()
        # ``close`` cancels this task; both are set before ``_ready`` tells the caller that it may
        # close.
        self._serving, self._loop = asyncio.current_task(), loop
        self._views.opened(loop)
        pages = HttpConnections("the monitor's web view", HttpLimits.for_this_process())
        self.ended = pages.ended
        application = await web_application(self._views, web_view.getsockname()[1], pages)
        runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=1.0,
            logger=pages.logger,
        )
        await runner.setup()
        if runner.server is None:
            raise RuntimeError("the web view is not running")
        pages.serve(runner.server)
        acceptor = Acceptor(loop, web_view, pages.new, name="connections of the monitor's web view")
        acceptor.start(listen.SMALL_BACKLOG)
        try:
            self._ready.set_result(None)
            async with asyncio.TaskGroup() as sessions:
                while True:
                    connection, address = await _accept(telnet)
                    if self._sessions >= _most_sessions():
                        log.warning("closed a telnet connection: %d are open", self._sessions)
                        connection.close()
                        continue
                    self._sessions += 1
                    sessions.create_task(self._session(connection, address))
        finally:
            acceptor.close()
            await runner.cleanup()
            await pages.close()

    async def _session(self, connection: socket.socket, address: tuple[str, int]) -> None:
        """Serve one telnet client; its failure does not affect others."""
        from prompt_toolkit.contrib.telnet.server import TelnetConnection, TelnetServer
        from prompt_toolkit.input import create_pipe_input

        try:
            with _Client(connection) as client, create_pipe_input() as keys:
                async with asyncio.timeout(NEGOTIATION_TIMEOUT) as negotiation:
                    interact = functools.partial(self._interact, negotiation)
                    await TelnetConnection(
                        client, address, interact, TelnetServer(), "utf-8", None, keys
                    ).run_application()
        except TimeoutError:
            log.debug("a telnet client did not negotiate its terminal: %s", address)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES:
                log.warning("cannot serve a telnet client: %s", error.strerror)
            else:
                log.exception("a telnet session failed: %s", address)
        finally:
            self._sessions -= 1

    async def _interact(self, negotiation: asyncio.Timeout, connection: TelnetConnection) -> None:
        from aiomonitor.termui.commands import interact

        # The client has negotiated: from here on it may stay as long as it likes.
        negotiation.reschedule(None)
        await interact(self._views, connection)


def attach(loop: asyncio.AbstractEventLoop, ledger: Ledger, config: Config) -> Monitor:
    """Serve aiomonitor's views of ``loop``'s tasks. Call it in the loop's thread.

    Raises StartError if a given port is in use, and MonitorUnavailableError if aiomonitor cannot be
    imported; nothing is left running then.
    """
    views_of = _task_views()
    # It logs every option that a telnet client negotiates.
    logging.getLogger("prompt_toolkit").setLevel(logging.WARNING)
    with contextlib.ExitStack() as undo:
        telnet = undo.enter_context(listen_exclusively(config.monitor_port, "--monitor-port"))
        web_view = undo.enter_context(
            listen_exclusively(config.monitor_web_port, "--monitor-web-port")
        )
        views = views_of(
            loop,
            ledger,
            host=HOST,
            port=telnet.getsockname()[1],
            web_port=web_view.getsockname()[1],
            console=config.monitor_console,
        )
        if config.monitor_console:
            log.warning("the monitor's console is on: anybody with a shell here can run code")
        monitor = Monitor(views, telnet, web_view)
        monitor.start()
        undo.pop_all()
    return monitor


def load() -> None:
    """Import what ``attach`` needs, at a time when the loop may be blocked. ``attach`` reports what is missing."""
    with contextlib.suppress(MonitorUnavailableError):
        _task_views()


def _task_views() -> type[TaskViews]:
    """Import aiomonitor's views lazily: they cost 0.1 s and 13 MB."""
    for message, category, module in _KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message, category, module)
    try:
        from qcfeed.contrib.aiomonitor_views import TaskViews
    except Exception as error:
        raise MonitorUnavailableError(
            f"aiomonitor cannot be imported ({type(error).__name__}: {error})",
            hint="use --no-monitor to run without it; `qcfeed tasks` and `qcfeed top` show the tasks",
        ) from error
    return TaskViews


def _most_sessions() -> int:
    return max(1, min(MAX_SESSIONS, descriptors.limit() // _SHARE_OF_DESCRIPTORS))


async def _accept(listener: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.sock_accept(listener)
        except OSError as error:
            log.warning("the monitor cannot accept a telnet connection: %s", error)
            await asyncio.sleep(_ACCEPT_RETRY)


def listen_exclusively(port: int, flag: str) -> socket.socket:
    """A listening socket on a port that is not shared (no SO_REUSEPORT)."""
    listener = listen.bind(HOST, port, flag)
    try:
        listener.listen()
    except OSError as error:  # another process bound the port too, and listened first
        listener.close()
        raise StartError(
            f"port {port} on {HOST} is in use", hint=f"`{flag} 0` picks any free port"
        ) from error
    listener.setblocking(False)
    return listener
