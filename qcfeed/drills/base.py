"""The interface of a drill, and the parts of the service it may break."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.drills.tampered_upstream import TamperedUpstream
from qcfeed.drills.wall_clock import WallClock
from qcfeed.model.status import Listening
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub


class GatewayLink(Protocol):
    """A gateway's link to NATS, which drills break (cluster/gateway.py)."""

    def set_fault(self, *, broker_away: bool = False, owners_silent: bool = False) -> None:
        """Break the link in one way; without arguments, repair it."""


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
    link: GatewayLink | None = None
    """None if the service is no gateway."""

    @property
    def address(self) -> tuple[str, int]:
        """The address at which a client on this machine reaches the port for quotes."""
        host, _, port = self.listening.websocket.rpartition(":")
        anywhere = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - compared, not bound
        return anywhere.get(host, host.strip("[]")), int(port)


class Drill(Protocol):
    """One fault, started and stopped once. Both methods are called in the service's loop."""

    def start(self) -> None:
        """Inject the fault. Returns at once."""

    async def stop(self) -> None:
        """Remove the fault, and wait until the cleanup is complete."""
