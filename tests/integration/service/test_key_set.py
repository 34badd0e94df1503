"""JSON Web Tokens whose keys come from a file or from a real HTTP server: rotation, and a server that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from email.message import Message
from pathlib import Path

import pytest

from qcfeed.access import keys
from qcfeed.errors import ConfigError
from tests.integration.service.conftest import FAR, Start
from tests.support import loopback_http
from tests.support.access import (
    ed25519_key,
    jwk,
    key_set,
    pem,
    rsa_key,
    stored,
    token,
    write,
    write_keys,
)
from tests.support.loopback_http import reply
from tests.support.raw_websocket import RawClient, head, request
from tests.support.running_service import Running, until

OLD, NEW, OTHER = rsa_key(), rsa_key(), ed25519_key()
OF_OLD, OF_NEW = (token(OLD, header={"kid": "old"}), token(NEW, header={"kid": "new"}))
QUICKLY = 0.02


class Issuer:
    """What the HTTP server answers; a test changes it."""

    def __init__(self) -> None:
        self.answers: Iterable[bytes] = [reply(key_set(jwk(OLD, "old")))]
        self.requests = 0

    def __call__(self, _target: str, _headers: Message) -> Iterable[bytes]:
        self.requests += 1
        return self.answers


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def url(issuer: Issuer) -> Iterator[str]:
    with loopback_http.serving(issuer) as url:
        yield f"{url}/jwks.json"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcfeed.server.key_set_url.MIN_PAUSE", QUICKLY)
    monkeypatch.setattr("qcfeed.server.authentication.RELOAD_EVERY", QUICKLY)
    monkeypatch.setattr("qcfeed.server.authentication.AUTHENTICATE_WITHIN", FAR)


async def status(running: Running, text: str) -> int:
    async with await RawClient.connect(running.port) as client:
        client.send(head(authorization=b"Bearer " + text.encode()))
        return (await client.response()).status


async def settled(running: Running, text: str) -> int:
    """The status once it is not "try again"."""
    while (got := await status(running, text)) == 503:  # noqa: ASYNC110 - it is the service that changes
        await asyncio.sleep(QUICKLY)
    return got


async def test_keys_are_fetched_and_a_new_one_is_fetched_when_a_token_names_it(
    start: Start, issuer: Issuer, url: str
) -> None:
    running = await start(jwt_jwks=url, ping_interval=QUICKLY)
    assert await settled(running, OF_OLD) == 101
    assert await settled(running, OF_NEW) == 401
    async with await running.client(f"/quotes/AAPL?access_token={OF_OLD}") as client:
        issuer.answers = [reply(key_set(jwk(NEW, "new")))]
        await until_accepted(running, OF_NEW)
        assert await settled(running, OF_OLD) == 401, "its key is no longer in the set"
        assert await client.message("quote"), "what was accepted stays until it expires"


async def until_accepted(running: Running, text: str) -> None:
    while await settled(running, text) != 101:  # noqa: ASYNC110 - as above
        await asyncio.sleep(QUICKLY)


async def test_a_client_is_told_to_try_again_while_the_keys_are_fetched(
    start: Start, issuer: Issuer, url: str
) -> None:
    pause = asyncio.Event()
    loop = asyncio.get_running_loop()

    def later() -> Iterator[bytes]:
        asyncio.run_coroutine_threadsafe(pause.wait(), loop).result()
        yield reply(key_set(jwk(OLD, "old")))

    issuer.answers = later()
    running = await start(jwt_jwks=url)
    async with await RawClient.connect(running.port) as client:
        client.send(head(authorization=b"Bearer " + OF_OLD.encode()))
        answer = await client.response()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {
        "type": "error", "code": "authentication_unavailable", "retryable": True,
        "message": "the keys to verify the token are being fetched",
    }  # fmt: skip
    async with await running.client("/stream") as client:
        client.send(request("authenticate", token=OF_OLD))
        said = await client.message()
        assert (said["code"], said["retryable"]) == ("authentication_unavailable", True)
        pause.set()
        while said["type"] == "error":
            client.send(request("authenticate", token=OF_OLD))
            said = await client.message("error", "authenticated")
        assert said["name"] == "reader"


async def test_strangers_cannot_make_the_service_fetch_often(
    start: Start, issuer: Issuer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.server.key_set_url.MIN_PAUSE", FAR)
    running = await start(jwt_jwks=url)
    assert await settled(running, OF_OLD) == 101
    for n in range(20):
        assert await status(running, token(NEW, header={"kid": f"made up {n}"})) == 401
    assert issuer.requests == 1


async def test_a_flood_of_new_tokens_takes_no_more_than_a_share_of_the_loop(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known tokens and API keys are served all the same."""
    monkeypatch.setattr("qcfeed.server.authentication.CHECK_SHARE", 1e-9)
    monkeypatch.setattr("qcfeed.server.authentication.CHECK_BURST", 1e-6)
    write(tmp_path / "issuer.pem", pem(OLD))
    key = keys.generate()
    write_keys(tmp_path / "keys.json", [stored("desk", key)])
    running = await start(jwt_key=str(tmp_path / "issuer.pem"), keys=str(tmp_path / "keys.json"))
    assert await status(running, OF_OLD) == 101
    assert [await status(running, token(OLD, {"sub": f"r{n}"})) for n in range(3)] == [503] * 3
    assert await status(running, token(NEW)) == 503
    assert await status(running, OF_OLD) == 101
    assert await status(running, key) == 101


def _endless() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    for _ in range(40):
        yield b" " * 65_536


FAILURES = {
    "an error": [reply(b"", status=500)],
    "a redirect": [reply(b"", status=302, Location="http://127.0.0.1:1/")],
    "no JSON": [reply(b"<html>")],
    "another JSON": [reply(b'{"keys": 7}')],
    "no usable key": [reply(b'{"keys": [{"kty": "EC"}]}')],
    "too much": None,
    "half an answer": [reply(key_set(jwk(NEW, "new")))[:-10]],
    "no HTTP": [b"\x16\x03\x01"],
    "nothing in time": None,
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_fetch_that_fails_keeps_the_keys_and_is_reported(
    start: Start, issuer: Issuer, url: str, failure: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    running = await start(jwt_jwks=url)
    authenticator = running.service.authenticator
    assert authenticator is not None
    assert await settled(running, OF_OLD) == 101
    if failure == "nothing in time":
        monkeypatch.setattr("qcfeed.server.key_set_url.TIMEOUT", 0.05)
        issuer.answers = loopback_http.never("", Message())
    else:
        issuer.answers = FAILURES[failure] or _endless()
    with caplog.at_level(logging.ERROR, "qcfeed.access"):
        while not authenticator.problems:
            assert await status(running, OF_NEW) in (401, 503)
            await asyncio.sleep(QUICKLY)
    assert "cannot fetch the key set" in caplog.text
    if failure == "too much":
        assert "more than 262,144 bytes" in caplog.text
    assert await status(running, OF_OLD) == 101
    assert await status(running, OF_NEW) == 503, "nobody knows whether the issuer has such a key"
    issuer.answers = [reply(key_set(jwk(OLD, "old"), jwk(NEW, "new")))]
    await until_accepted(running, OF_NEW)
    assert authenticator.problems == []


async def test_the_service_starts_while_the_issuer_is_down_and_lets_nobody_in(start: Start) -> None:
    with loopback_http.refused() as url:
        running = await start(jwt_jwks=f"{url}/jwks.json")
        authenticator = running.service.authenticator
        assert authenticator is not None
        await until(lambda: authenticator.problems, "the problem is noticed")
        assert await status(running, OF_OLD) == 503


@pytest.mark.parametrize("option", ["jwt_jwks", "jwt_key"])
async def test_a_file_of_keys_is_read_again_when_it_changes(
    start: Start, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "keys"
    old, new = {
        "jwt_jwks": (key_set(jwk(OLD, "old")), key_set(jwk(NEW, "new"))),
        "jwt_key": (pem(OLD), pem(NEW)),
    }[option]
    write(path, old)
    running = await start(**{option: str(path)})
    assert await status(running, OF_OLD) == 101
    assert await status(running, OF_NEW) == 401
    write(path, new)
    await until_accepted(running, OF_NEW)
    assert await status(running, OF_OLD) == 401


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jwt_jwks": "http://issuer.example/jwks.json"}, "must be https"),
        ({"jwt_jwks": "https://"}, "https"),
        ({"jwt_jwks": "https://[::1"}, "not a URL"),
        ({"jwt_jwks": "/nowhere"}, "No such file"),
        ({"jwt_key": "/nowhere"}, "No such file"),
        ({"jwt_key": "/dev/zero"}, "device"),
    ],
)
async def test_a_source_that_cannot_be_used_is_one_clear_error_at_the_start(
    start: Start, options: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        await start(**options)


async def test_a_secret_that_everybody_can_read_is_refused(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"a secret of at least thirty-two bytes")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="every user on this machine can read it"):
        await start(jwt_key=str(path))
    path.write_bytes(pem(OTHER))
    assert await status(await start(jwt_key=str(path)), token(OTHER)) == 101
