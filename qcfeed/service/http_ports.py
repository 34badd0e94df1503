"""The service's plain HTTP: on the quotes port, on --admin-listen, or on a feeder's port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from qcfeed.config import Config
from qcfeed.metrics.collectors import Exposition
from qcfeed.net import listen
from qcfeed.net.acceptor import Acceptor, NewTransport
from qcfeed.net.http_connections import HttpConnections, HttpLimits
from qcfeed.net.transport import Transport
from qcfeed.server import http
from qcfeed.server.page import StatusPageRoutes
from qcfeed.server.request_checks import RequestChecks
from qcfeed.server.token_file import TokenFile
from qcfeed.status_page.source import PageSource


class HttpPorts:
    """Serves /livez, /readyz, /metrics and the status page. On the quotes port the gateway hands it each HTTP connection."""

    def __init__(
        self,
        config: Config,
        exposition: Exposition,
        readiness: Callable[[], str],
        *,
        for_feeder: bool,
        page: PageSource | None,
    ) -> None:
        """``for_feeder``: the port of the configuration serves HTTP alone, because no gateway is there.

        ``page``: of the status page; None if it is off.
        """
        self._config = config
        self._checks = RequestChecks(config)
        self._page = page
        self.connections = HttpConnections(
            "--admin-listen" if config.admin_listen else "the quotes port",
            HttpLimits.for_this_process(),
        )
        self._runner = web.AppRunner(
            http.application(
                self.connections,
                exposition,
                readiness,
                # The gateway checks requests on its port itself.
                self._checks if config.admin_listen or for_feeder else None,
                TokenFile.of(config.metrics_token_file, "--metrics-token-file"),
                self._page_routes(),
            ),
            access_log=None,
            handler_cancellation=True,
            logger=self.connections.logger,
            shutdown_timeout=1.0,
            lingering_time=1.0,  # seconds to read request bodies that are not needed
        )

    def _page_routes(self) -> Sequence[web.RouteDef]:
        if self._page is None:
            return ()
        token = TokenFile.of(self._config.page_token_file, "--page-token-file")
        return StatusPageRoutes(self._page, token, self._checks).routes()

    async def start(self, parts: contextlib.AsyncExitStack) -> str | None:
        """Serve connections, and listen on --admin-listen if it is given; returns its address."""
        if self._page is not None:
            parts.push_async_callback(self._page.close)
        await self._runner.setup()
        parts.push_async_callback(self._runner.cleanup)
        parts.push_async_callback(self.connections.close)
        if self._runner.server is None:
            raise RuntimeError("the HTTP server is not running")
        self.connections.serve(self._runner.server)
        if self._config.admin_listen is None:
            return None
        bound = listen.bind(
            *listen.parse_address(self._config.admin_listen, "--admin-listen"), "--admin-listen"
        )
        self.listen(parts, bound, "connections of --admin-listen")
        return listen.format_address(bound)

    def listen(
        self,
        parts: contextlib.AsyncExitStack,
        bound: socket.socket,
        name: str,
        new_transport: NewTransport = Transport,
    ) -> None:
        """Accept connections on ``bound``, until ``parts`` is closed. ``name``: for the log."""
        self._checks.bind(bound.getsockname()[0])
        acceptor = Acceptor(
            asyncio.get_running_loop(),
            bound,
            self.connections.new,
            name=name,
            new_transport=new_transport,
        )
        acceptor.start(listen.SMALL_BACKLOG)
        parts.callback(acceptor.close)
