"""The walk's clients: real connections, each with the model of what it is subscribed to."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass, field

from tests.chaos.reader import Reader
from tests.support.patience import PATIENCE
from tests.support.raw_websocket import CLOSE, TEXT, RawClient, close, request

GONE = (ConnectionError, asyncio.IncompleteReadError)


@dataclass(slots=True, eq=False)
class Client:
    """One subscriber. ``symbols``: what the service must have for it."""

    name: str
    raw: RawClient
    symbols: set[str]
    single: bool = False
    reader: Reader = field(default_factory=Reader)
    paused: bool = False
    may_end_with: set[int] = field(default_factory=set)
    """Close codes with which the service may end this connection."""

    async def sync(self) -> bool:
        """Read everything until the answer to a ping; False if the service has ended the connection."""
        try:
            self.raw.send(request("ping"))
            while (said := await self._next()) is not None:
                if said["type"] == "pong":
                    return True
                if said["type"] == "error" and said["code"] == "feed_cancelled":
                    self.reader.end(said["symbol"])
                else:
                    self.reader.take(said)
        except GONE:
            assert self.may_end_with, f"{self.name} lost its connection"
        return False

    async def _next(self) -> dict[str, object] | None:
        """The next text message; None at the close frame."""
        while (frame := await self.raw.frame()).opcode != TEXT:
            if frame.opcode == CLOSE:
                (code,) = struct.unpack("!H", frame.payload[:2])
                assert code in self.may_end_with, f"{self.name} was closed with {code}"
                self.raw.send(close(code))
                return None
        said: dict[str, object] = json.loads(frame.payload)
        return said

    async def ask(self, action: str, *symbols: str) -> None:
        """Subscribe or unsubscribe, and read until the confirmation."""
        if action == "subscribe":
            self.symbols |= set(symbols)
            self.reader.begin(*symbols)
        else:
            self.symbols -= set(symbols)
        self.raw.send(request(action, *symbols))
        async with asyncio.timeout(PATIENCE):
            while (said := await self._next()) is not None:
                if said["type"] == "subscribed":
                    assert said["symbols"] == sorted(self.symbols), f"{self.name}: {said}"
                    break
                assert said["type"] != "error", f"{self.name}: {said}"
                self.reader.take(said)
        if action == "unsubscribe":
            self.reader.end(*symbols)

    async def error(self) -> str:
        """Read until the next error, which no other message of the walk is mistaken for; its code."""
        while (said := await self._next()) is not None:
            if said["type"] == "error":
                return str(said["code"])
            self.reader.take(said)
        raise AssertionError(f"{self.name} was closed instead")

    def pause(self) -> None:
        self.paused = True
        self.raw.deafen()

    def resume(self) -> None:
        self.paused = False
        self.raw.listen()
