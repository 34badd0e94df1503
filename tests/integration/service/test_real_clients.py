"""Third-party clients: websockets, wsproto and npm's ws, reading, pinging, fragmenting, closing."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import Extension, PerMessageDeflate

from tests.integration.service.conftest import Start
from tests.support.patience import PATIENCE
from tests.support.running_service import Running
from tests.support.websockets_client import connect_async

ROOT = Path(__file__).parents[3]
WS = ROOT / ".tools" / "node_modules" / "ws"
WS_CLIENT = ROOT / "tests" / "support" / "ws_client.cjs"
SUBSCRIBE = '{"action":"subscribe","symbols":["AAPL"]}'
QUOTES = 500


@pytest.fixture
async def running(start: Start) -> Running:
    """Quotes at full rate, with pings among them."""
    return await start(upstream="sim:?rate=max", ping_interval=0.05)


@pytest.mark.parametrize("compress", [False, True])
async def test_websockets(running: Running, compress: bool) -> None:
    address = f"{running.ws}/stream?compress={int(compress)}"
    async with asyncio.timeout(PATIENCE), connect_async(address) as client:
        await client.send(SUBSCRIBE)
        await client.send(['{"action":', '"ping"', "}"])
        pongs = [await client.ping(b"%d" % n) for n in range(3)]
        last, answered = None, False
        for _ in range(QUOTES):
            said = json.loads(await client.recv())
            answered |= said["type"] == "pong"
            if said["type"] == "quote":
                assert last is None or said["seq"] == last + 1
                last = said["seq"]
        assert last
        assert answered
        await asyncio.gather(*pongs)
        await client.close(4321, "enough")
    assert (client.close_code, client.close_reason) == (4321, "")
    assert bool(client.protocol.extensions) == compress
    await running.balanced()


class Sansio:
    """wsproto over asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self._reader, self._writer = reader, writer
        self._events: list[Event] = []

    def send(self, event: Event) -> None:
        self._writer.write(self.protocol.send(event))

    async def next(self) -> Event:
        while not self._events:
            self.protocol.receive_data(await self._reader.read(65_536) or None)
            self._events = list(self.protocol.events())
        return self._events.pop(0)


@pytest.mark.parametrize("compress", [False, True])
async def test_wsproto(running: Running, compress: bool) -> None:
    extensions: list[Extension] = [PerMessageDeflate()]
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    client = Sansio(reader, writer)
    target = f"/stream?compress={int(compress)}"
    async with asyncio.timeout(PATIENCE):
        client.send(Request(host=f"127.0.0.1:{running.port}", target=target, extensions=extensions))
        accepted = await client.next()
        assert isinstance(accepted, AcceptConnection)
        assert bool(accepted.extensions) == compress
        client.send(TextMessage(SUBSCRIBE[:9], message_finished=False))
        client.send(Ping(b"amid"))
        client.send(TextMessage(SUBSCRIBE[9:]))
        end = await _read_and_close(client)
        assert end.code == 4321
    writer.close()
    await writer.wait_closed()
    await running.balanced()


async def _read_and_close(client: Sansio) -> CloseConnection:
    seqs: list[int] = []
    pongs = 0
    text = ""
    while True:
        event = await client.next()
        if isinstance(event, CloseConnection):
            assert pongs == 1
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            return event
        if isinstance(event, Ping) and len(seqs) < QUOTES:  # afterwards only the close is awaited
            client.send(event.response())
        pongs += isinstance(event, Pong) and event.payload == b"amid"
        if isinstance(event, TextMessage):
            text += event.data
            if event.message_finished:
                said, text = json.loads(text), ""
                seqs += [said["seq"]] if said["type"] == "quote" else []
                if len(seqs) == QUOTES:
                    client.send(CloseConnection(4321, "enough"))


@pytest.mark.parametrize("compress", [False, True])
async def test_npm_ws(running: Running, compress: bool) -> None:
    node = shutil.which("node")
    if node is None or not WS.exists():
        pytest.skip("npm's ws is not here: `bash scripts/system_parts.sh` installs it")
    address = f"{running.ws}/stream?compress={int(compress)}"
    process = await asyncio.create_subprocess_exec(
        node, str(WS_CLIENT), str(WS), address, str(QUOTES), str(int(compress)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, err.decode()) == (0, "")
    seen = json.loads(out)
    assert (seen["quotes"] >= QUOTES, seen["gaps"], seen["pongMessages"]) == (True, 0, 1)
    assert seen["pongs"][:3] == ["from ws", "50", "100"]
    assert (seen["code"], seen["reason"]) == (4321, "")
    assert bool(seen["extensions"]) == compress
    await running.balanced()
