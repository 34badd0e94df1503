"""One script played over TLS, on asyncio's transport and on ours, to the same visible end.

Unlike the plain transports, the two differ in between, because asyncio's has buffers and limits of its own
for TLS. Compared is what matters to the two ends: which bytes arrived, and how the connection ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from typing import Any

from qcfeed.net.handshakes import HandshakeQueue
from qcfeed.net.poller import Poller
from qcfeed.net.tls_transport import TlsTransport
from tests.support.certificates import Certificates
from tests.support.patience import PATIENCE
from tests.support.two_transports import Play, Recorder, Step

NOT_READY = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsPlay(Play):
    """A play whose peer speaks TLS."""

    def __init__(self, protocol: Recorder, peer: ssl.SSLSocket) -> None:
        super().__init__(protocol, peer)
        self.tls = peer
        self.closed = False
        self.ending = "open"
        """How the peer saw the connection end."""

    async def handshake(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(*NOT_READY):
                    self.tls.do_handshake()
                    break
                await asyncio.sleep(0)
        await self.settle()

    def peer_reads(self, most: int) -> int:
        data = bytearray()
        try:
            while len(data) < most and (piece := self.tls.recv(16_384)):
                data += piece
            if len(data) < most:
                self.ending = "close_notify"
        except NOT_READY:
            pass
        except ssl.SSLEOFError:
            self.ending = "cut"
        except OSError as error:
            self.ending = type(error).__name__
        self.received += data
        return len(data) > 0

    def close(self, _: None) -> None:
        self.closed = True
        super().close(None)

    def peer_ends(self, _: None) -> None:
        with contextlib.suppress(*NOT_READY):
            self.tls.unwrap()

    def peer_sends(self, data: bytes) -> int:
        return self.tls.send(data)

    def outcome(self) -> dict[str, Any]:
        seen = [each for each in self.protocol.seen if each[0] not in ("pause", "resume")]
        if self.closed:  # asyncio reads on until the peer has answered
            seen = [each for each in seen if each[0] != "eof"]
        return {
            "told": seen,
            "heard": self.protocol.heard,
            "the peer has": len(self.received),
            "the end": self.ending,
            "bugs": list(self.complaints),
        }


async def play(kind: str, script: Sequence[Step], certificates: Certificates) -> dict[str, Any]:
    """What is to be seen after ``script`` on a transport of this kind: ``asyncio`` or ``ours``."""
    loop = asyncio.get_running_loop()
    sock, raw_peer = socket.socketpair()
    sock.setblocking(False)
    raw_peer.setblocking(False)
    peer = certificates.trusting().wrap_socket(
        raw_peer,
        server_hostname="localhost",
        do_handshake_on_connect=False,
        suppress_ragged_eofs=False,
    )
    played = TlsPlay(Recorder(False, ""), peer)
    context = certificates.serving()
    poller = None
    if kind == "asyncio":
        accepting = loop.create_task(
            loop.connect_accepted_socket(lambda: played.protocol, sock, ssl=context)
        )
        await played.handshake()
        played.transport, _ = await accepting
    else:
        poller = Poller(loop)
        played.transport = TlsTransport(
            poller, sock, played.protocol, lambda: context, HandshakeQueue(loop)
        )
        await played.handshake()
    try:
        for name, argument in script:
            with contextlib.suppress(OSError):
                getattr(played, name)(argument)
            await played.settle()
        return played.outcome()
    finally:
        if not played.is_over():
            played.transport.abort()
        await played.settle()
        peer.close()
        if poller is not None:
            poller.close_when_idle()
        assert [each[0] for each in played.protocol.seen].count("lost") == 1, "told just once"
