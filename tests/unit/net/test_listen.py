"""Binding ports, and the errors and hints when a port cannot be bound."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from qcfeed.errors import ConfigError, StartError
from qcfeed.net import listen


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:9006", ("127.0.0.1", 9006)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9006", ("::1", 9006)),
        ("0.0.0.0:65535", ("0.0.0.0", 65_535)),
    ],
)
def test_an_address_is_host_and_port(text: str, parts: tuple[str, int]) -> None:
    assert listen.parse_address(text, "--admin-listen") == parts


@pytest.mark.parametrize(
    "text", ["", ":", "9006", ":9006", "x:", "x:-1", "x:65536", "x:\u0663", "x: 1", "[::1]"]
)
def test_an_invalid_address_is_refused_with_the_flag_s_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--admin-listen is"):
        listen.parse_address(text, "--admin-listen")


def test_port_0_binds_a_free_port() -> None:
    with listen.bind("127.0.0.1", 0, "--port") as bound:
        host, port = bound.getsockname()
        assert listen.format_address(bound) == f"{host}:{port}"
        assert port > 0


def test_an_ipv6_address_is_formatted_in_brackets() -> None:
    with listen.bind("::1", 0, "--port") as bound:
        assert listen.format_address(bound).startswith("[::1]:")


def test_a_port_in_use_is_reported_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} on 127.0.0.1 is in use") as error:
            listen.bind("127.0.0.1", port, "--admin-listen")
    assert "--admin-listen 0" in (error.value.hint or "")
    assert f":{port}" in (error.value.hint or "")


def test_a_port_can_be_bound_again_while_old_connections_are_in_time_wait() -> None:
    with listen.bind("127.0.0.1", 0, "--port") as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = bound.accept()
            accepted.close()  # closed first, so this end stays in TIME_WAIT
            assert client.recv(1) == b""
    with listen.bind("127.0.0.1", port, "--port"):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_foreign_host_is_refused(host: str) -> None:
    with pytest.raises(StartError, match="is not an address of this machine"):
        listen.bind(host, 0, "--port")


def test_an_invalid_port_is_refused() -> None:
    with pytest.raises(StartError, match="is not a port"):
        listen.bind("127.0.0.1", 65_536, "--port")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may take any port")
def test_a_privileged_port_is_refused() -> None:
    with pytest.raises(StartError, match="not allowed to bind port 1"):
        listen.bind("127.0.0.1", 1, "--port")


async def test_accepted_connections_send_without_delay() -> None:
    """Nagle's algorithm would delay a quote until the previous one is acknowledged, up to 40 ms."""
    made: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sock = transport.get_extra_info("socket")
            made.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    bound = listen.bind("127.0.0.1", 0, "--port")
    server = await asyncio.get_running_loop().create_server(Accepting, sock=bound)
    _, writer = await asyncio.open_connection(*bound.getsockname())
    assert await made == 1
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
