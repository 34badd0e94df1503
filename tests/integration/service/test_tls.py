"""The quotes port with TLS: clients, failed handshakes, reloads, slow readers, the drain."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from qcfeed.errors import ConfigError
from qcfeed.metrics.catalog.metrics import METRICS
from qcfeed.net.handshakes import HandshakeQueue, Handshaking
from qcfeed.server import connection_snapshots
from qcfeed.server.tls import ServerTls
from tests.integration.service.conftest import FAR, Start
from tests.support.certificates import Certificates
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient, head
from tests.support.running_service import Running, until
from tests.support.websockets_client import connect_async


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    made = Certificates(tmp_path / "tls")
    made.issue()
    return made


@pytest.fixture
async def running(start: Start, certificates: Certificates) -> Running:
    running = await start(**files(certificates))
    running.remember_residents()  # one task watches the files
    return running


def files(certificates: Certificates) -> dict[str, str]:
    return {"tls_cert": str(certificates.cert), "tls_key": str(certificates.key)}


def secure(running: Running) -> str:
    return f"wss://localhost:{running.port}"


def tls_of(running: Running) -> ServerTls:
    assert running.service.tls is not None
    return running.service.tls


@asynccontextmanager
async def stream(
    port: int, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


# ---------------------------------------------------------------- clients


@pytest.mark.parametrize("compress", [False, True])
async def test_websockets_reads_quotes(
    running: Running, certificates: Certificates, compress: bool
) -> None:
    url = f"{secure(running)}/quotes/AAPL?compress={int(compress)}"
    async with asyncio.timeout(PATIENCE), connect_async(url, ssl=certificates.trusting()) as client:
        said = [json.loads(await client.recv()) for _ in range(3)]
        await (await client.ping())
    assert [each["seq"] for each in said] == [said[0]["seq"] + n for n in range(3)]
    assert client.close_code == 1000


async def test_http_is_handed_over_with_tls(running: Running, certificates: Certificates) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("livez", "readyz", "metrics"):
            url = f"https://localhost:{running.port}/{path}"
            async with session.get(url, ssl=certificates.trusting()) as answer:
                assert answer.status == 200
                text = await answer.text()
    exposed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {each.name for each in METRICS if each.name.startswith("qcfeed_tls_")} < exposed
    assert 'qcfeed_tls_certificate_loads_total{result="refused"} 0.0' in text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(
    ("version", "works"), [("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False)]
)
async def test_openssl_agrees_on_tls_1_2_and_later_only(
    running: Running, certificates: Certificates, version: str, works: bool
) -> None:
    command = f"openssl s_client -connect localhost:{running.port} -CAfile {certificates.ca}"
    asked = await asyncio.create_subprocess_exec(
        *command.split(), version, "-alpn", "h2,http/1.1", "-ign_eof", "-quiet", "-no_ticket",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE):
        said, _ = await asked.communicate(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (b"alive" in said) == works
    assert bool(running.service.gateway.refused["tls_handshake"]) != works


async def test_a_request_in_single_bytes_and_many_records_in_one_segment(
    running: Running, certificates: Certificates
) -> None:
    async with stream(running.port, certificates.trusting()) as (reader, writer):
        for byte in head():
            writer.write(bytes([byte]))
        async with asyncio.timeout(PATIENCE):
            answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101")


async def test_a_refused_request_is_answered_in_full(
    running: Running, certificates: Certificates
) -> None:
    async with stream(running.port, certificates.trusting()) as (reader, writer):
        writer.write(head("/quotes/NOSUCH9") + bytes(100_000))
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"unknown_symbol" in answer


# ---------------------------------------------------------------- handshakes that fail


async def test_a_client_without_tls_gets_an_answer_and_one_counted_line(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        assert await running.refusal() == (400, "tls_required")
    assert running.service.gateway.refused["tls_required"] == 20
    lines = [each for each in caplog.records if "TLS handshake" in each.message]
    assert len(lines) == 20, "one each; the log's own filter leaves out what repeats"
    assert all(each.exc_info is None for each in lines)


async def test_a_client_that_does_not_trust_us_sees_its_own_alert_and_is_counted(
    running: Running,
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        async with stream(running.port, ssl.create_default_context()):
            pass
    gateway = running.service.gateway
    await until(lambda: gateway.refused["tls_handshake"] == 1, "the failure is counted")


@pytest.mark.parametrize("begun", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_is_never_finished_ends_at_the_deadline(
    start: Start, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr("qcfeed.ws.pending.HEAD_TIMEOUT", 0.3)
    running = await start(**files(certificates))
    async with await RawClient.connect(running.port) as client:
        client.send(begun)
        await until(lambda: running.service.gateway.pending, "it counts as a connection")
        assert await client.ended() == "reset"
    assert not running.service.gateway.pending


async def test_a_handshake_that_waits_for_us_is_not_held_against_the_client(
    start: Start, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Handshaking] = []
    monkeypatch.setattr("qcfeed.ws.pending.HEAD_TIMEOUT", 0.1)
    monkeypatch.setattr(HandshakeQueue, "add", lambda _, connection: waiting.append(connection))
    running = await start(**files(certificates))
    async with await RawClient.connect(running.port) as client:
        await until(lambda: waiting, "it waits for its turn")
        (pending,) = running.service.gateway.pending
        first = pending.deadline
        await until(lambda: pending.deadline > first + 0.2, "it gets more time, twice")
        waiting[0].continue_handshake()
        assert await client.ended() == "reset", "now it is the client that says nothing"


async def test_a_connection_that_goes_before_its_handshake_leaves_nothing(running: Running) -> None:
    for begun in (b"", b"\x16\x03\x01"):
        async with await RawClient.connect(running.port) as client:
            client.send(begun)
    await running.balanced()


async def test_client_certificates_are_required_and_shown(
    start: Start, certificates: Certificates
) -> None:
    running = await start(**files(certificates), tls_client_ca=str(certificates.ca))
    known = certificates.trusting(certificates.client("desk-7"))
    url = f"{secure(running)}/quotes/AAPL"
    async with asyncio.timeout(PATIENCE), connect_async(url, ssl=known) as client:
        await client.recv()
        (connection,) = running.service.gateway.connections
        row = connection_snapshots.snapshot(connection, running.service.gateway.now())
        assert row.name == "desk-7"
    async with stream(running.port, certificates.trusting()) as (reader, writer):
        writer.write(head())
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            await asyncio.wait_for(reader.read(), PATIENCE)
    assert running.service.gateway.refused["tls_handshake"] == 1


# ---------------------------------------------------------------- reloads


async def names(running: Running, certificates: Certificates) -> list[str]:
    """The names of the certificate that a new connection gets."""
    context = certificates.trusting()
    context.check_hostname = False
    async with stream(running.port, context) as (_, writer):
        found = writer.get_extra_info("peercert")["subjectAltName"]
        return [value for _, value in found]


async def test_new_files_serve_new_connections_and_old_ones_stay(
    running: Running, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.server.tls.CHECK_INTERVAL", 0.01)
    async with connect_async(f"{secure(running)}/quotes/AAPL", ssl=certificates.trusting()) as old:
        await old.recv()
        certificates.issue("new.example")
        await until(lambda: tls_of(running).loaded == 1, "the new files are loaded", within=FAR)
        assert await names(running, certificates) == ["new.example"]
        listening = running.service.listening.tls
        assert listening is not None
        assert listening.names == ["new.example"]
        async with asyncio.timeout(PATIENCE):
            await (await old.ping())
            await old.recv()


async def test_a_bad_pair_is_refused_and_the_old_one_stays_in_use(
    running: Running, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    before = await names(running, certificates)
    good = certificates.key.read_bytes()
    certificates.issue("new.example")
    new = certificates.key.read_bytes()
    certificates.key.write_bytes(good)
    tls = tls_of(running)
    tls.request_reload()
    await until(lambda: tls.refused == 1, "the pair is refused")
    assert await names(running, certificates) == before
    assert "does not belong to the certificate" in caplog.text
    assert tls.listening.problem is not None
    certificates.key.write_bytes(new)
    tls.request_reload()
    await until(lambda: tls.loaded == 1, "the repaired pair is loaded")
    assert await names(running, certificates) == ["new.example"]
    assert tls.listening.problem is None


async def test_an_unchanged_bad_pair_is_reported_once(
    running: Running, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.server.tls.CHECK_INTERVAL", 0.01)
    certificates.cert.write_text("nonsense")
    tls = tls_of(running)
    await until(lambda: tls.refused, "the file is refused", within=FAR)
    looks = 0
    look = os.stat

    def counted(path: object, **more: object) -> os.stat_result:
        nonlocal looks
        looks += path == certificates.cert
        return look(path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", counted)
    await until(lambda: looks >= 5, "five more looks", within=FAR)
    assert tls.refused == 1


# ---------------------------------------------------------------- start-up errors


def broken(certificates: Certificates, how: str) -> None:
    cert, key = certificates.cert, certificates.key
    if how == "missing":
        cert.unlink()
    elif how == "no certificate":
        cert.write_text("nonsense")
    elif how == "no key":
        key.write_bytes(cert.read_bytes())
    elif how == "another key":
        other = key.read_bytes()
        certificates.issue()
        key.write_bytes(other)
    elif how == "expired":
        certificates.issue_expired()
    elif how == "readable to all":
        key.chmod(0o644)
    elif how == "a directory":
        key.unlink()
        key.mkdir()
    elif how == "encrypted":
        key.write_text(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIC\n-----END ENCRYPTED PRIVATE KEY-----\n"
        )


@pytest.mark.parametrize(
    ("how", "said", "hint"),
    [
        ("missing", "cannot read --tls-cert .*: No such file", "ls -lL"),
        ("no certificate", "is not a certificate in PEM", "openssl x509"),
        ("no key", "contains no private key", "BEGIN PRIVATE KEY"),
        ("another key", "does not belong to the certificate", "same renewal"),
        ("expired", "expired on", "renew it"),
        ("readable to all", "every user of this machine can read", "chmod o="),
        ("a directory", "cannot read --tls-key .*: Is a directory", "ls -lL"),
        ("encrypted", "encrypted", "openssl pkey"),
    ],
)
async def test_a_start_with_bad_files_says_what_why_and_what_to_do(
    start: Start, certificates: Certificates, how: str, said: str, hint: str
) -> None:
    broken(certificates, how)
    with pytest.raises(ConfigError, match=said) as raised:
        await start(**files(certificates))
    assert hint in (raised.value.hint or "")


# ---------------------------------------------------------------- slow readers and the drain


@pytest.mark.parametrize("slow", ["conflate", "disconnect"])
async def test_the_slow_consumer_policy_applies(
    start: Start, certificates: Certificates, slow: str
) -> None:
    running = await start(
        **files(certificates), upstream="sim:?rate=max", slow=slow, send_buffer=4_608, max_lag=16
    )
    gateway = running.service.gateway
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", running.port))
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=certificates.trusting(), server_hostname="localhost", limit=1_024
    )
    try:
        writer.write(head())
        await until(lambda: gateway.connections, "it is upgraded")
        if slow == "disconnect":
            await until(lambda: gateway.closed["4408"] == 1, "it is disconnected")
        else:
            (connection,) = gateway.connections
            await until(lambda: connection.backlog.conflated > 100, "its quotes are conflated")
            async with asyncio.timeout(PATIENCE):  # it reads on: the stream of records is intact
                while b'"conflated"' not in await reader.read(65_536):
                    pass
    finally:
        writer.transport.abort()


async def test_a_drain_says_goodbye_over_tls(start: Start, certificates: Certificates) -> None:
    running = await start(**files(certificates))
    async with asyncio.timeout(PATIENCE):
        async with connect_async(
            f"{secure(running)}/quotes/AAPL", ssl=certificates.trusting()
        ) as client:
            await client.recv()
            stopping = asyncio.create_task(running.service.stop())
            said = [json.loads(each)["type"] async for each in client]
            await stopping
    assert said[-1] == "going_away"
    assert client.close_code == 1001
    logging.getLogger("qcfeed").info("drained")
