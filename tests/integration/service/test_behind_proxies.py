"""Real proxies, with the configurations of docs/how-to/exposing.md, in front of a real service."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
import pytest

from tests.docs.snippets import snippets
from tests.integration.service.conftest import FAR, Start
from tests.support import certificate, daemon
from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port
from tests.support.running_service import Running, until

SOURCE = "127.0.0.9"
"""The client's address, which is none of the proxy's."""

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def _snippet(language: str) -> str:
    [found] = [
        each.text for each in snippets("docs/how-to/exposing.md") if each.language == language
    ]
    return found


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return certificate.of_localhost(tmp_path)


@contextlib.asynccontextmanager
async def _running(*command: str, port: int, log: Path) -> AsyncIterator[None]:
    """The proxy, until the end of the block."""
    with _opened(log) as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        await until(
            lambda: _accepts(port) or process.returncode is not None,
            "the proxy listens",
            instead=lambda: _tail(log),
        )
        assert process.returncode is None, _tail(log)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


def _make_private(key: Path) -> None:
    key.chmod(0o600)


def _opened(log: Path) -> BinaryIO:
    return log.open("wb")


def _tail(log: Path) -> str:
    return log.read_text()[-500:]


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.asynccontextmanager
async def _nginx(running: Running, pem: Path) -> AsyncIterator[int]:
    here = pem.parent
    with refusing_port() as port:
        server = (
            _snippet("nginx")
            .replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
            .replace("/etc/ssl/quotes.pem", str(pem))
            .replace("/etc/ssl/quotes.key", str(pem))
            .replace("127.0.0.1:8006", f"127.0.0.1:{running.port}")
        )
        paths = "".join(
            f"{each}_temp_path {here}/{each};\n"
            for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        settings = here / "nginx.conf"
        settings.write_text(
            f"daemon off; master_process off; pid {here}/pid; error_log stderr;\n"
            f"events {{}}\nhttp {{ access_log off;\n{paths}{server}}}\n"
        )
        command = ("nginx", "-p", str(here), "-e", "stderr", "-c", str(settings))
        async with _running(*command, port=port, log=here / "nginx.log"):
            yield port


@contextlib.asynccontextmanager
async def _haproxy(
    running: Running, pem: Path, change: str = "", *, passes_tls: bool = False
) -> AsyncIterator[int]:
    with refusing_port() as port:
        settings = pem.parent / "haproxy.cfg"
        text = (
            _snippet("haproxy")
            .replace("bind :443", f"bind 127.0.0.1:{port}")
            .replace("/etc/ssl/quotes.pem", str(pem))
            .replace("127.0.0.1:8006", f"127.0.0.1:{running.port}")
        )
        if passes_tls:  # TLS ends in the service: the header comes before it
            text = re.sub(r" ssl crt \S+", "", text)
        settings.write_text(text.replace("send-proxy-v2", change) if change else text)
        command = ("haproxy", "-db", "-f", str(settings))
        async with _running(*command, port=port, log=pem.parent / "haproxy.log"):
            yield port


async def _quote_through(port: int, running: Running, pem: Path, **headers: str) -> list[str]:
    """Read a quote through the proxy; returns the clients' hosts as the service sees them."""
    trusted = ssl.create_default_context(cafile=str(pem))
    connector = aiohttp.TCPConnector(local_addr=(SOURCE, 0))
    url = f"wss://localhost:{port}/quotes/AAPL"
    async with (
        asyncio.timeout(PATIENCE),
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, ssl=trusted, headers=headers) as client,
    ):
        quote = await client.receive_json()
        assert quote["symbol"] == "AAPL"
        return [each.peer.partition(":")[0] for each in running.service.gateway.connections]


@daemon.needs("nginx")
async def test_nginx_names_the_client_and_the_page(start: Start, pem: Path) -> None:
    running = await start(trusted_proxy="127.0.0.1")
    async with _nginx(running, pem) as port:
        spoofed = {"X-Forwarded-For": "198.51.100.1", "Forwarded": "for=198.51.100.2"}
        own = f"https://localhost:{port}"
        assert await _quote_through(port, running, pem, Origin=own, **spoofed) == [SOURCE]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await _quote_through(port, running, pem, Origin="https://evil.example")
        assert refused.value.status == 403
    await running.balanced()


@daemon.needs("nginx")
async def test_clients_behind_nginx_have_limits_of_their_own(start: Start, pem: Path) -> None:
    running = await start(trusted_proxy="127.0.0.1", client_connect_rate=1 / FAR)  # a burst of one
    async with _nginx(running, pem) as port:
        await _quote_through(port, running, pem)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await _quote_through(port, running, pem)
        assert refused.value.status == 429
        assert 0 < int(refused.value.headers["Retry-After"]) <= FAR
    await running.balanced()


@daemon.needs("haproxy")
@pytest.mark.parametrize("change", ["", "send-proxy"], ids=["version 2", "version 1"])
async def test_haproxy_names_the_client_in_the_proxy_protocol(
    start: Start, pem: Path, change: str
) -> None:
    running = await start(
        trusted_proxy="127.0.0.1", proxy_protocol=True, allow_host="quotes.example.com"
    )
    async with _haproxy(running, pem, change) as port:
        own = f"https://localhost:{port}"
        assert await _quote_through(port, running, pem, Origin=own) == [SOURCE]
    # HAProxy's own health checks begin with the header too.
    assert not running.service.gateway.refused["proxy_header"]
    await running.balanced()


@daemon.needs("haproxy")
async def test_the_header_comes_before_tls_that_ends_in_the_service(
    start: Start, pem: Path
) -> None:
    _make_private(pem)
    running = await start(
        trusted_proxy="127.0.0.1", proxy_protocol=True, tls_cert=str(pem), tls_key=str(pem)
    )
    running.remember_residents()  # the task that follows the certificate's files
    async with _haproxy(running, pem, passes_tls=True) as port:
        own = f"https://localhost:{port}"
        assert await _quote_through(port, running, pem, Origin=own) == [SOURCE]
    await running.balanced()
