"""Faults of a gateway's or a feeder's side of a cluster."""

from __future__ import annotations

import asyncio

from qcfeed.drills.base import DrillEnvironment, FeederLink, GatewayLink
from qcfeed.errors import UsageError
from qcfeed.model.link_faults import FeederFault, LinkFault


class _Link:
    """A drill that breaks the gateway's link in one way."""

    fault = LinkFault.NONE

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._link = _gateway(environment)

    def start(self) -> None:
        self._link.set_fault(self.fault)

    async def stop(self) -> None:
        self._link.set_fault(LinkFault.NONE)


class LostBroker(_Link):
    """The connection to NATS is lost, and none can be opened."""

    fault = LinkFault.BROKER_AWAY


class LostOwner(_Link):
    """Nothing of any owner is heard: no announcement, no quote, no answer."""

    fault = LinkFault.OWNERS_SILENT


class LeakedInterest(_Link):
    """Subscriptions on NATS that outlive their subscribers, so that the owner's feeds never end."""

    fault = LinkFault.LEAKED_INTEREST

    async def stop(self) -> None:
        await super().stop()
        await self._link.end_leaked()


class FormerOwner(_Link):
    """A feeder whose time as the owner is over publishes still."""

    fault = LinkFault.FORMER_OWNER


class SlowGateway(_Link):
    """Quotes arrive faster than the gateway reads them."""

    fault = LinkFault.SLOW


class FlappingBroker(_Link):
    """The connection to NATS is lost again and again."""

    fault = LinkFault.BROKER_FLAPS

    def __init__(self, environment: DrillEnvironment, every: float) -> None:
        super().__init__(environment, every)
        self._loop = environment.loop
        self._every = every
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        super().start()
        self._timer = self._loop.call_later(self._every, self.start)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await super().stop()


class _Feeder:
    """A drill that breaks the feeder in one way."""

    fault = FeederFault.NONE

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._feeder = _feeder(environment)

    def start(self) -> None:
        self._feeder.set_fault(self.fault)

    async def stop(self) -> None:
        self._feeder.set_fault(FeederFault.NONE)


class MissedRenewals(_Feeder):
    """Every other renewal of the lease is lost."""

    fault = FeederFault.LEASE_UNANSWERED


class UnheardGateways(_Feeder):
    """No gateway's answer is heard: for the owner, unknown subscribers want its symbols."""

    fault = FeederFault.GATEWAYS_UNHEARD


class SecondOwner(_Feeder):
    """A standby believes that it has the lease of its share, which another feeder has."""

    fault = FeederFault.LEASE_IMAGINED

    def start(self) -> None:
        if self._feeder.is_owner:
            raise UsageError(
                "this feeder owns its share; the drill needs a standby beside the owner",
                hint="`qcfeed --cluster status` lists the feeders and their epochs",
            )
        super().start()


class RefusedFeeds:
    """The upstream opens no feed, although gateways want it."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        _feeder(environment)
        self._upstream = environment.upstream

    def start(self) -> None:
        self._upstream.limit_runs(0.0)

    async def stop(self) -> None:
        self._upstream.limit_runs(None)


def _feeder(environment: DrillEnvironment) -> FeederLink:
    if environment.feeder is None:
        raise UsageError(
            "this drill needs a feeder: a service that publishes on NATS",
            hint="`qcfeed feeder --allow-drills --upstream sim: --to nats://127.0.0.1:4222` starts one",
        )
    return environment.feeder


def _gateway(environment: DrillEnvironment) -> GatewayLink:
    if environment.link is None:
        raise UsageError(
            "this drill needs a gateway: a service whose upstream is NATS",
            hint="`qcfeed serve --allow-drills --upstream nats://127.0.0.1:4222` starts one",
        )
    return environment.link
