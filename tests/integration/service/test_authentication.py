"""Subscribers authenticate on real sockets: with API keys, before the upgrade or by a message."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from qcfeed.access import keys
from qcfeed.client.endpoint import Endpoint
from qcfeed.client.stream import Connected, Received, stream
from qcfeed.errors import ConfigError
from qcfeed.model.messages import Authenticated, AuthExpiring, Quote
from qcfeed.model.symbol import Symbol
from tests.integration.service.conftest import FAR, Start
from tests.support.access import pem, rsa_key, stored, token, write, write_keys
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import RawClient, close, head, request
from tests.support.running_service import Running, until
from tests.support.websockets_client import connect_async

DESK, GUEST, STRANGER = ("qcf_" + letter * 43 for letter in "DGS")
"""Fixed ones: pytest-xdist needs the same names of tests in every worker."""
QUICKLY = 0.02


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    write_keys(path, [stored("desk", DESK), stored("guest", GUEST, "AAPL", "BTC-*")])
    return path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcfeed.server.authentication.RELOAD_EVERY", QUICKLY)
    monkeypatch.setattr("qcfeed.server.authentication.AUTHENTICATE_WITHIN", FAR)


@pytest.fixture
async def running(start: Start, file: Path) -> Running:
    return await start(keys=str(file), ping_interval=QUICKLY)


def refusals(running: Running) -> dict[str, int]:
    assert running.service.authenticator is not None
    return {str(reason): n for reason, n in running.service.authenticator.refused.items()}


def bearer(text: str) -> bytes:
    return b"Bearer " + text.encode()


async def challenged(running: Running, sent: bytes) -> tuple[int, str, str]:
    """Status, code and challenge of a refused upgrade."""
    async with await RawClient.connect(running.port) as client:
        client.send(sent)
        answer = await client.response()
    return answer.status, answer.json()["code"], answer.headers.get("www-authenticate", "")


# ---------------------------------------------------------------- before the upgrade


async def test_a_service_without_keys_asks_nobody(start: Start) -> None:
    running = await start()
    assert running.service.authenticator is None
    async with await running.client() as client:
        assert (await client.message("quote"))["symbol"] == "AAPL"
    async with await running.stream() as client:
        client.send(request("authenticate", token="whatever"))
        said = await client.message("authenticated")
        assert said == {"type": "authenticated", "name": None, "expires_in_ms": None}


@pytest.mark.parametrize("target", ["/quotes/AAPL", "/stream"])
@pytest.mark.parametrize("where", ["header", "query", "lower case"])
async def test_a_key_is_accepted_in_the_header_and_in_the_query(
    running: Running, target: str, where: str
) -> None:
    sent = {
        "header": head(target, authorization=bearer(DESK)),
        "query": head(f"{target}?slow=conflate&access_token={DESK}"),
        "lower case": head(target, authorization=b"bearer " + DESK.encode()),
    }[where]
    async with await RawClient.connect(running.port) as client:
        client.send(sent)
        assert (await client.response()).status == 101
        if target == "/stream":
            await client.subscribe("MSFT")
        assert await client.message("quote")
        [connection] = running.service.gateway.connections
        assert connection.identity is not None
        assert connection.identity.name == "desk"


async def test_aiohttp_and_websockets_present_a_key_in_their_way(running: Running) -> None:
    headers = {"Authorization": f"Bearer {GUEST}"}
    async with asyncio.timeout(PATIENCE):
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"{running.ws}/quotes/AAPL") as client,
        ):
            assert (await client.receive_json())["symbol"] == "AAPL"
        async with connect_async(f"{running.ws}/stream", additional_headers=headers) as other:
            await other.send('{"action":"subscribe","symbols":["AAPL","MSFT"]}')
            refused, subscribed = json.loads(await other.recv()), json.loads(await other.recv())
    assert (refused["code"], refused["symbol"]) == ("forbidden", "MSFT")
    assert subscribed["symbols"] == ["AAPL"]


REALM = 'Bearer realm="qcfeed"'


@pytest.mark.parametrize(
    ("sent", "status", "code", "error"),
    [
        (head(), 401, "unauthenticated", ""),
        (head(authorization=b"Basic dXNlcjpwYXNz"), 401, "unauthenticated", ""),
        (head(authorization=bearer(STRANGER)), 401, "invalid_token", "invalid_token"),
        (head(authorization=bearer(DESK + "x")), 401, "invalid_token", "invalid_token"),
        (head(authorization=b"Bearer "), 401, "invalid_token", "invalid_token"),
        (head(authorization=b"Bearer"), 401, "invalid_token", "invalid_token"),
        (head(authorization=b"Bearer \xff\xfe"), 401, "invalid_token", "invalid_token"),
        (head(authorization=b"Bearer " + b"a" * 9_000), 401, "invalid_token", "invalid_token"),
        (head("/quotes/AAPL?access_token="), 401, "invalid_token", "invalid_token"),
        (head("/stream?access_token=%C3%A9"), 401, "invalid_token", "invalid_token"),
        (head("/stream", authorization=b"Bearer wrong"), 401, "invalid_token", "invalid_token"),
        (head(f"/quotes/AAPL?access_token={DESK}&access_token={DESK}"), 400, "invalid_request", "invalid_request"),
        (head(f"/quotes/AAPL?access_token={DESK}", authorization=bearer(DESK)), 400, "invalid_request", "invalid_request"),
        (head("/quotes/MSFT", authorization=bearer(GUEST)), 403, "forbidden", "insufficient_scope"),
        (head("/quotes/NONE.AT.ALL", authorization=bearer(GUEST)), 403, "forbidden", "insufficient_scope"),
        (head("/quotes/NONE.AT.ALL"), 401, "unauthenticated", ""),
        (head("/quotes/NONE.AT.ALL", authorization=bearer(DESK)), 404, "unknown_symbol", None),
    ],
)  # fmt: skip
async def test_a_wrong_token_is_refused_before_the_upgrade(
    running: Running, sent: bytes, status: int, code: str, error: str | None
) -> None:
    got = await challenged(running, sent)
    assert got[:2] == (status, code)
    if error is None:
        assert got[2] == ""
        return
    assert got[2] == REALM if not error else got[2].startswith(f'{REALM}, error="{error}"')
    assert sum(refusals(running).values()) == 1
    assert running.service.gateway.refused[code] == 1


async def test_an_expired_key_is_refused(start: Start, file: Path) -> None:
    write_keys(file, [stored("desk", DESK, expires=time.time() - 1)])
    running = await start(keys=str(file))
    assert await challenged(running, head(authorization=bearer(DESK))) == (
        401, "invalid_token",
        f'{REALM}, error="invalid_token", error_description="the API key desk has expired"',
    )  # fmt: skip
    assert refusals(running) == {"expired": 1}


async def test_a_client_that_sends_wrong_keys_again_and_again_is_put_off(
    start: Start, file: Path
) -> None:
    running = await start(keys=str(file), client_denial_rate=1 / FAR)  # a burst of one
    wrong = head(authorization=bearer(keys.generate()))
    answers = [(await challenged(running, wrong))[:2] for _ in range(2)]
    assert answers == [(401, "invalid_token"), (429, "client_denial_rate")]
    assert refusals(running) == {"unknown_key": 1}, "the second was not looked at"
    right = head(authorization=bearer(DESK))
    assert (await challenged(running, right))[0] == 429
    async with await running.client("/stream") as client:
        client.send(request("authenticate", token=DESK))
        assert (await client.closing()).code == 4429


# ---------------------------------------------------------------- by a message


async def test_a_browser_authenticates_with_its_first_message(running: Running) -> None:
    async with await running.client("/stream") as client:
        client.send(request("authenticate", token=GUEST), request("subscribe", "AAPL", "MSFT"))
        assert await client.message() == {
            "type": "authenticated", "name": "guest", "expires_in_ms": None,
        }  # fmt: skip
        assert (await client.message("error"))["code"] == "forbidden"
        assert (await client.message("subscribed"))["symbols"] == ["AAPL"]
        assert await client.message("quote")


@pytest.mark.parametrize(
    "first",
    [request("subscribe", "AAPL"), request("ping"), request("slow", policy="conflate"), b"\x81\x80aaaa",
     request("authenticate", token="wrong"), request("authenticate"), request("authenticate", token="\u00e9"),
     request("authenticate", token=DESK + "x"), request("authenticate", token="a" * 20_000)],
    ids=["subscribe", "ping", "slow", "empty", "wrong", "no token", "not ASCII", "longer", "too long"],
)  # fmt: skip
async def test_another_first_message_closes_the_connection(running: Running, first: bytes) -> None:
    async with await running.client("/stream") as client:
        client.send(first)
        closing = await client.frame()
        assert (closing.opcode, closing.code) == (8, 4001)
    assert running.service.hub.subscriptions == 0


async def test_a_connection_that_never_authenticates_is_closed(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qcfeed.server.authentication.AUTHENTICATE_WITHIN", 0.05)
    running = await start(keys=str(file), ping_interval=QUICKLY)
    async with await running.client("/stream") as client:
        assert (await client.closing()).code == 4001
    assert refusals(running) == {"timeout": 1}


# ---------------------------------------------------------------- while the connection lasts


@pytest.mark.parametrize("target", ["/quotes/AAPL", "/stream"])
async def test_a_revoked_key_ends_its_connections_and_no_others(
    running: Running, file: Path, target: str
) -> None:
    async with (
        await running.client(f"{target}?access_token={GUEST}") as guest,
        await running.client(f"/quotes/MSFT?access_token={DESK}") as desk,
    ):
        write_keys(file, [stored("desk", DESK)])
        closing = await guest.closing()
        assert closing.code == 4001
        assert b"revoked" in closing.payload
        guest.send(close(4001))
        await until(
            lambda: len(running.service.gateway.connections) == 1, "the revoked connection is gone"
        )
        assert await desk.so_far() == []
        assert await desk.message("quote")
    assert (await challenged(running, head(authorization=bearer(GUEST))))[0] == 401


async def test_a_key_that_loses_a_symbol_loses_its_subscription(
    running: Running, file: Path
) -> None:
    async with (
        await running.client(f"/stream?access_token={DESK}") as many,
        await running.client(f"/quotes/MSFT?access_token={DESK}") as one,
    ):
        await many.subscribe("AAPL", "MSFT")
        write_keys(file, [stored("desk", DESK, "AAPL")])
        assert (await one.closing()).code == 4003
        one.send(close(4003))
        said = await many.message("error")
        assert (said["code"], said["symbol"], said.get("retryable")) == ("forbidden", "MSFT", None)
        many.send(request("subscribe", "MSFT"))
        assert (await many.message("error"))["code"] == "forbidden"
        assert (await many.message("subscribed"))["symbols"] == ["AAPL"]
        write_keys(file, [stored("desk", DESK)])
        await until(lambda: not problems(running), "the file is read")
        await until(lambda: _may(running, "MSFT"), "the symbol is allowed again")
        await many.subscribe("MSFT")


def _may(running: Running, symbol: str) -> bool:
    return all(
        each.session is not None and each.session.allows(symbol)
        for each in running.service.gateway.connections
    )


def problems(running: Running) -> list[str]:
    assert running.service.authenticator is not None
    return running.service.authenticator.problems


def _malformed(path: Path) -> None:
    write(path, b"{")


def _writable_by_all(path: Path) -> None:
    path.chmod(0o666)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _too_big(path: Path) -> None:
    with path.open("r+b") as content:
        content.truncate(9 * 2**20)


def _clear(path: Path) -> None:
    if path.is_dir():
        path.rmdir()


@pytest.mark.parametrize("spoil", [_malformed, _writable_by_all, _directory, _too_big, Path.unlink])
async def test_a_file_that_becomes_unusable_keeps_the_old_keys_and_is_reported(
    running: Running, file: Path, spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with await running.client(f"/quotes/AAPL?access_token={GUEST}") as client:
        with caplog.at_level(logging.ERROR, "qcfeed.access"):
            spoil(file)
            await until(lambda: problems(running), "the problem is noticed")
        assert await client.message("quote")
        assert (await challenged(running, head()))[0] == 401
        assert (await challenged(running, head(authorization=bearer(keys.generate()))))[0] == 401
        async with await running.client(f"/quotes/MSFT?access_token={DESK}") as other:
            assert await other.message("quote")
        [line] = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert "--keys" in line.getMessage()
        assert "stays in use" in line.getMessage()
        _clear(file)
        write_keys(file, [stored("desk", DESK)])
        await until(lambda: not problems(running), "the mended file is read")
        assert (await client.closing()).code == 4001


@pytest.mark.parametrize("content", [None, b"{", b'{"schema":"qcfeed.keys/1"}'])
async def test_a_service_does_not_start_with_a_file_that_it_cannot_use(
    start: Start, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "other.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="--keys"):
        await start(keys=str(path))


async def test_the_file_may_be_a_link_that_is_replaced_as_kubernetes_does(
    start: Start, tmp_path: Path
) -> None:
    for name, token_ in (("old", GUEST), ("new", DESK)):
        (tmp_path / name).mkdir()
        write_keys(tmp_path / name / "keys.json", [stored(name, token_)])
    link, path = tmp_path / "data", tmp_path / "keys.json"
    link.symlink_to(tmp_path / "old")
    path.symlink_to(link / "keys.json")
    running = await start(keys=str(path), ping_interval=QUICKLY)
    async with await running.client(f"/quotes/AAPL?access_token={GUEST}") as client:
        fresh = tmp_path / "data.new"
        fresh.symlink_to(tmp_path / "new")
        fresh.rename(link)
        assert (await client.closing()).code == 4001
    async with await running.client(f"/quotes/AAPL?access_token={DESK}") as client:
        assert await client.message("quote")


# ---------------------------------------------------------------- expiry


SIGNING = rsa_key()


@pytest.fixture
async def tokens(start: Start, tmp_path: Path) -> Running:
    """A service of JSON Web Tokens."""
    write(tmp_path / "issuer.pem", pem(SIGNING))
    return await start(jwt_key=str(tmp_path / "issuer.pem"), jwt_leeway=0, ping_interval=QUICKLY)


def hourly(**claims: Any) -> str:
    return token(SIGNING, {"exp": int(time.time()) + 3_600} | claims)


def jump(running: Running, seconds: float) -> None:
    """From now on the service's clock is ``seconds`` ahead."""
    assert running.service.authenticator is not None
    running.service.authenticator.wall = lambda: time.time() + seconds


@pytest.mark.parametrize("target", ["/quotes/AAPL", "/stream"])
async def test_a_client_is_told_before_its_token_expires_and_closed_after(
    tokens: Running, target: str
) -> None:
    async with await tokens.client(f"{target}?access_token={hourly()}") as client:
        jump(tokens, 3_560)
        said = await client.message("auth_expiring")
        assert 0 < said["expires_in_ms"] <= 40_000
        assert await client.so_far("auth_expiring", "error") == [], "it is told once"
        jump(tokens, 3_601)
        assert (await client.closing()).code == 4001
        client.send(close(4001))
    assert refusals(tokens) == {"expired": 1}


async def test_a_client_that_authenticates_again_stays(tokens: Running) -> None:
    async with await tokens.client(f"/stream?access_token={hourly()}") as client:
        await client.subscribe("AAPL")
        jump(tokens, 3_560)
        await client.message("auth_expiring")
        client.send(request("authenticate", token=hourly(exp=int(time.time()) + 9_000)))
        said = await client.message("authenticated")
        assert said["name"] == "reader"
        assert 5_000_000 < said["expires_in_ms"] < 5_500_000
        jump(tokens, 8_960)
        assert 0 < (await client.message("auth_expiring"))["expires_in_ms"] <= 40_000
        assert await client.message("quote")


async def test_watchs_client_sends_a_new_token_when_it_is_told_that_its_own_expires(
    tokens: Running,
) -> None:
    held = [hourly()]
    server = Endpoint("ws", "127.0.0.1", tokens.port)
    seen = []
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(stream(server, [Symbol("AAPL")], token=lambda: held[-1])) as events,
    ):
        async for event in events:
            if isinstance(event, Connected):
                held.append(hourly(exp=int(time.time()) + 9_000))
                jump(tokens, 3_560)
            elif isinstance(event, Received) and not isinstance(event.message, Quote):
                seen.append(type(event.message))
                if isinstance(event.message, Authenticated):
                    break
    assert seen == [AuthExpiring, Authenticated]


async def test_a_new_token_of_another_name_or_a_wrong_one_changes_nothing(tokens: Running) -> None:
    async with await tokens.client(f"/stream?access_token={hourly()}") as client:
        client.send(request("authenticate", token=hourly(sub="somebody else")))
        assert (await client.message("error"))["code"] == "identity_changed"
        client.send(request("authenticate", token=token(rsa_key())))
        assert (await client.message("error"))["code"] == "invalid_token"
        await client.subscribe("AAPL")
        [connection] = tokens.service.gateway.connections
        assert connection.identity is not None
        assert connection.identity.name == "reader"


async def test_a_new_token_with_fewer_symbols_ends_the_others(tokens: Running) -> None:
    async with await tokens.client(f"/stream?access_token={hourly()}") as client:
        await client.subscribe("AAPL", "MSFT")
        client.send(request("authenticate", token=hourly(symbols=["MSFT"])))
        await client.message("authenticated")
        assert (await client.message("error"))["symbol"] == "AAPL"
        assert [
            str(each)
            for each in tokens.service.hub.feeds
            if tokens.feed(each).lifecycle.subscribers
        ] == ["MSFT"]


async def test_an_api_key_is_refused_where_only_tokens_are_taken(tokens: Running) -> None:
    assert (await challenged(tokens, head(authorization=bearer(DESK))))[0] == 401
    assert refusals(tokens) == {"unknown_key": 1}


# ---------------------------------------------------------------- no token is shown anywhere


async def test_no_token_appears_in_what_the_service_shows_of_a_connection(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with await running.client(f"/stream?access_token={DESK}") as client:
            client.send(request("authenticate", token=DESK))
            await client.message("authenticated")
            client.send(request("authenticate", token=GUEST + "x"), request("slow", policy=DESK))
            await client.message("error")
            [connection] = running.service.gateway.connections
            assert connection.session is not None
            shown = [repr(connection), repr(connection.identity), repr(running.service.config)]
            shown += [task.get_name() for task in asyncio.all_tasks()]
        await challenged(running, head(f"/quotes/AAPL?access_token={DESK}x"))
        await running.exchange(
            f"GET /nothing?access_token={DESK} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
    shown += [each.getMessage() for each in caplog.records]
    assert not [each for each in shown if DESK in each or GUEST in each]
