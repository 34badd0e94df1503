"""The service's certificate: loaded at the start, and again when its files change or on request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable

from qcfeed import rfc3339
from qcfeed.errors import ConfigError
from qcfeed.model.status import TlsListening
from qcfeed.net.handshakes import HandshakeQueue
from qcfeed.net.poller import Poller
from qcfeed.net.tls_context import LoadedCertificate, TlsFiles, load
from qcfeed.net.tls_transport import TlsTransport

log = logging.getLogger("qcfeed.tls")

CHECK_INTERVAL = 2.0
"""Seconds between two checks of the files. A change is loaded once a further check finds no other change."""


class ServerTls:
    """Provides the TLS context for new connections. Existing ones keep the context that they began with."""

    def __init__(self, files: TlsFiles, clock: Callable[[], float] = time.time) -> None:
        """Load the files. ``clock``: Unix time. Raises ConfigError."""
        self._files = files
        self._clock = clock
        self._tried = files.fingerprint()
        """The files at the last attempt to load them."""
        self._certificate = load(files, clock())
        self._requested = asyncio.Event()
        self._handshakes = HandshakeQueue(asyncio.get_running_loop())
        self._task: asyncio.Task[None] | None = None
        self.loaded = 0
        """How often new files were loaded since the start."""
        self.refused = 0
        """How often new files were refused."""
        self.listening = _describe(self._certificate, files)

    def transport(
        self, poller: Poller, sock: socket.SocketType, protocol: asyncio.Protocol
    ) -> TlsTransport:
        """The transport for an accepted connection."""
        return TlsTransport(poller, sock, protocol, self.context, self._handshakes)

    def context(self) -> ssl.SSLContext:
        """The context for a handshake that begins now."""
        return self._certificate.context

    @property
    def not_after(self) -> float:
        """Unix time at which the certificate in use expires."""
        return self._certificate.not_after

    def start(self) -> None:
        """Watch the files from now on."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="tls-files")

    async def stop(self) -> None:
        """Stop watching the files, and join the task that did."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def request_reload(self) -> None:
        """Load the files soon, whether they have changed or not."""
        self._requested.set()

    async def _watch(self) -> None:
        seen = self._tried
        while True:
            requested = await self._wait()
            # In a thread, because a network file system may not answer.
            found = await asyncio.to_thread(self._files.fingerprint)
            if requested or (found != self._tried and found == seen):
                self._tried = found
                await asyncio.to_thread(self._load)
            seen = found

    async def _wait(self) -> bool:
        """Wait for a request, or for the next check. True if it was a request."""
        try:
            async with asyncio.timeout(CHECK_INTERVAL):
                await self._requested.wait()
        except TimeoutError:
            return False
        self._requested.clear()
        return True

    def _load(self) -> None:
        """Use the files if they are valid, otherwise keep what is in use. Callable from any thread."""
        try:
            certificate = load(self._files, self._clock())
        except ConfigError as error:
            self.refused += 1
            self.listening.problem = error.message
            log.error(  # noqa: TRY400 -- a traceback would say nothing more
                "the new certificate is refused, the old one stays in use until %s: %s; %s",
                self.listening.not_after,
                error.message,
                error.hint,
            )
            return
        self.loaded += 1
        self._certificate = certificate
        fresh = _describe(certificate, self._files)
        for field in fresh.__struct_fields__:
            setattr(self.listening, field, getattr(fresh, field))
        log.info(
            "certificate loaded for %s, valid until %s", ", ".join(fresh.names), fresh.not_after
        )


def _describe(certificate: LoadedCertificate, files: TlsFiles) -> TlsListening:
    return TlsListening(
        names=list(certificate.names),
        not_after=rfc3339.seconds(certificate.not_after),
        sha256=certificate.sha256,
        certificate=certificate.pem,
        client_certificates=files.client_ca is not None,
    )
