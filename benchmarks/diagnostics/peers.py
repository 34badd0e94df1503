"""The peers: the same program on the same loop, with something that observes its tasks."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import aiomonitor

from qcfeed.diagnostics.ledger import Ledger

Loop = asyncio.AbstractEventLoop


@contextlib.contextmanager
def _plain(_: Loop) -> Iterator[None]:
    yield


@contextlib.contextmanager
def _ledger(loop: Loop) -> Iterator[None]:
    books = Ledger()
    books.install(loop)
    yield
    books.uninstall()


@contextlib.contextmanager
def _debug(loop: Loop) -> Iterator[None]:
    loop.set_debug(True)
    yield
    loop.set_debug(False)


@contextlib.contextmanager
def aiomonitor_hook(loop: Loop) -> Iterator[Any]:
    """aiomonitor with its default task-factory hook."""
    ports = {"port": free_port(), "webui_port": free_port()}
    with aiomonitor.start_monitor(
        loop, console_enabled=False, hook_task_factory=True, **ports
    ) as monitor:
        yield monitor


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Peer:
    """``base``: the peer to compare with. ``slow``: peers that get fewer rounds."""

    base: str
    watching: Callable[[Loop], AbstractContextManager[Any]] = _plain
    uvloop: bool = False
    slow: bool = False

    def loop(self) -> Loop:
        if self.uvloop:
            import uvloop

            loop: Loop = uvloop.new_event_loop()
            return loop
        return asyncio.new_event_loop()


PEERS = {
    "plain asyncio": Peer("plain asyncio"),
    "ledger": Peer("plain asyncio", _ledger),
    "asyncio debug": Peer("plain asyncio", _debug, slow=True),
    "aiomonitor hook": Peer("plain asyncio", aiomonitor_hook, slow=True),
}
if importlib.util.find_spec("uvloop"):
    PEERS |= {
        "plain uvloop": Peer("plain uvloop", uvloop=True),
        "ledger, uvloop": Peer("plain uvloop", _ledger, uvloop=True),
    }
