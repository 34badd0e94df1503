"""Faults of a gateway's side of a cluster: no broker, or no owner of the symbols."""

from __future__ import annotations

from qcfeed.drills.base import DrillEnvironment, GatewayLink
from qcfeed.errors import UsageError


class LostBroker:
    """The connection to NATS is lost, and none can be opened."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._link = _link(environment)

    def start(self) -> None:
        self._link.set_fault(broker_away=True)

    async def stop(self) -> None:
        self._link.set_fault()


class LostOwner:
    """Nothing of any owner is heard: no announcement, no quote, no answer."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._link = _link(environment)

    def start(self) -> None:
        self._link.set_fault(owners_silent=True)

    async def stop(self) -> None:
        self._link.set_fault()


def _link(environment: DrillEnvironment) -> GatewayLink:
    if environment.link is None:
        raise UsageError(
            "this drill needs a gateway: a service whose upstream is NATS",
            hint="`qcfeed serve --allow-drills --upstream nats://127.0.0.1:4222` starts one",
        )
    return environment.link
