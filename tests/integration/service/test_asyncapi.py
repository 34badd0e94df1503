"""The AsyncAPI description and the real service agree: each request is sent, and each message is validated."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, get_args

import jsonschema
from websockets.asyncio.client import ClientConnection, connect

from qcfeed.access import keys
from qcfeed.model.messages import ServerMessage
from tests.integration.service.conftest import Start
from tests.support.access import stored, write_keys
from tests.support.patience import PATIENCE

DOCUMENT = json.loads((Path(__file__).parents[3] / "docs" / "asyncapi.json").read_text())
KINDS = {each.__struct_config__.tag: each.__name__ for each in get_args(ServerMessage)}


def schema(name: str) -> dict[str, Any]:
    """A message's schema. Nothing that it does not name is allowed."""
    closed = json.loads(json.dumps(DOCUMENT["components"]["schemas"]))
    for each in closed.values():
        if each.get("type") == "object":
            each["additionalProperties"] = False
    return {**closed[name], "components": {"schemas": closed}}


class Client:
    """Validates what it sends and what it receives on one channel; ``seen``: names of messages."""

    def __init__(self, socket: ClientConnection, channel: str, seen: set[str]) -> None:
        self._socket = socket
        self._channel = channel
        self.seen = seen

    def _validate(self, name: str, message: dict[str, Any]) -> None:
        assert name in DOCUMENT["channels"][self._channel]["messages"]
        jsonschema.validate(message, schema(name))
        self.seen.add(name)

    async def receive(self, *names: str) -> str:
        """Validate messages until one of these comes; returns its name."""
        async with asyncio.timeout(PATIENCE):
            while True:
                message = json.loads(await self._socket.recv())
                name = KINDS[message["type"]]
                self._validate(name, message)
                if name in names:
                    return name

    async def request(self, message: dict[str, Any]) -> str:
        """Send a request; the answer is one that the description names. Returns which."""
        self._validate(f"{message['action'].capitalize()}Request", message)
        await self._socket.send(json.dumps(message))
        operation = DOCUMENT["operations"][f"{self._channel}.{message['action']}"]
        answers = [each["$ref"].rpartition("/")[2] for each in operation["reply"]["messages"]]
        return await self.receive(*answers)


async def test_each_message_of_the_service_is_as_described(start: Start, tmp_path: Path) -> None:
    seen: set[str] = set()
    running = await start(
        stale_after=0.1, very_stale_after=200, dead_after=300, upstream="sim:?rate=2"
    )
    async with (
        connect(f"{running.ws}/stream") as socket,
        connect(f"{running.ws}/quotes/AAPL?slow=conflate") as one,
    ):
        stream, quotes = Client(socket, "stream", seen), Client(one, "quotes", seen)
        assert (
            await stream.request({"action": "subscribe", "symbols": ["AAPL", "MSFT"]})
            == "Subscribed"
        )
        assert (
            await stream.request({"action": "subscribe", "symbols": ["NO-SUCH", "WRONG!"]})
            == "Error"
        )
        assert await stream.request({"action": "unsubscribe", "symbols": ["MSFT"]}) == "Subscribed"
        for client in (stream, quotes):
            await client.receive("Quote")
            await client.receive("Status")
            assert await client.request({"action": "ping"}) == "Pong"
            assert await client.request({"action": "slow", "policy": "drop-oldest"}) == "SlowPolicy"
            assert (
                await client.request({"action": "authenticate", "token": "any"}) == "Authenticated"
            )
        stopping = asyncio.create_task(running.service.stop())
        await asyncio.gather(stream.receive("GoingAway"), quotes.receive("GoingAway"))
    await stopping
    await _authenticates(start, tmp_path, seen)
    described = set(DOCUMENT["components"]["messages"])
    assert described == seen, "every message was sent or received"


async def _authenticates(start: Start, tmp_path: Path, seen: set[str]) -> None:
    token = keys.generate()
    write_keys(tmp_path / "keys.json", [stored("desk", token, "AAPL", expires=time.time() + 3_600)])
    running = await start(keys=str(tmp_path / "keys.json"))
    async with connect(f"{running.ws}/stream") as socket:
        client = Client(socket, "stream", seen)
        assert await client.request({"action": "authenticate", "token": token}) == "Authenticated"
        assert running.service.authenticator is not None
        running.service.authenticator.wall = lambda: time.time() + 3_560
        await client.receive("AuthExpiring")
        assert await client.request({"action": "authenticate", "token": "qcf_wrong"}) == "Error"
    await running.service.stop()
