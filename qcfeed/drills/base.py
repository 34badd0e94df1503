"""The interface of a drill, and the parts of the service it may break."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from qcfeed.diagnostics.ledger import Ledger
from qcfeed.drills.tampered_upstream import TamperedUpstream
from qcfeed.drills.wall_clock import WallClock
from qcfeed.model.link_faults import FeederFault, LinkFault
from qcfeed.model.status import Listening
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub


class GatewayLink(Protocol):
    """A gateway's link to NATS, which drills break (cluster/gateway.py)."""

    def set_fault(self, fault: LinkFault) -> None:
        """Break the link in one way; with NONE, repair it."""

    async def end_leaked(self) -> None:
        """End the subscriptions on NATS that a drill has leaked."""


class FeederLink(Protocol):
    """A feeder, which drills break (cluster/feeder.py)."""

    @property
    def is_owner(self) -> bool:
        """Whether it owns its share now."""

    def set_fault(self, fault: FeederFault) -> None:
        """Break it in one way; with NONE, repair it."""


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
    feeder: FeederLink | None = None
    """None if the service is no feeder."""

    @property
    def address(self) -> tuple[str, int]:
        """The address at which a client on this machine reaches the port for quotes."""
        host, _, port = self.listening.websocket.rpartition(":")
        anywhere = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - compared, not bound
        return anywhere.get(host, host.strip("[]")), int(port)


class Fault(Protocol):
    """One fault, started and stopped once. Both methods are called in the service's loop."""

    def start(self) -> None:
        """Inject the fault. Returns at once."""

    async def stop(self) -> None:
        """Remove the fault, and wait until the cleanup is complete."""
