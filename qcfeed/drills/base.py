"""What a drill may lay hands on, and what every drill is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.drills.tampered_upstream import TamperedUpstream
from qcfeed.drills.wall_clock import WallClock
from qcfeed.model.answers import Listening
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub


@dataclass(frozen=True, slots=True)
class DrillEnvironment:
    """The parts of the service that drills break."""

    loop: asyncio.AbstractEventLoop
    ledger: Ledger
    hub: Hub
    upstream: TamperedUpstream
    wall: WallClock
    gateway: Gateway
    listening: Listening

    @property
    def address(self) -> tuple[str, int]:
        """Where a client on this machine reaches the port for quotes."""
        host, _, port = self.listening.quotes.rpartition(":")
        anywhere = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - it is asked, not bound
        return anywhere.get(host, host.strip("[]")), int(port)


class Drill(Protocol):
    """One fault, made once. Both are called in the service's loop."""

    def start(self) -> None:
        """Break it. Returns at once."""

    async def stop(self) -> None:
        """Put it back, and wait until it is."""
