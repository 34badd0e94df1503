"""Which class injects the fault of each drill in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qcfeed.drills import (
    client_faults,
    clock_jump,
    cluster_faults,
    lost_subscribers,
    stuck_loop,
    upstream_faults,
    zombies,
)
from qcfeed.drills.base import DrillEnvironment, Fault
from qcfeed.drills.crashed_worker import CrashedWorker
from qcfeed.drills.memory_growth import GrowingMemory
from qcfeed.drills.refused_authentications import RefusedAuthentications
from qcfeed.drills.replaced_factory import ReplacedFactory

FAULTS: Mapping[str, Callable[[DrillEnvironment, float], Fault]] = {
    "zombie-feeds": zombies.ZombieFeeds,
    "zombie-growth": zombies.ZombieGrowth,
    "lost-readers": lost_subscribers.LostSubscribers,
    "silent-upstream": upstream_faults.SilentUpstream,
    "flapping-upstream": upstream_faults.FlappingUpstream,
    "rubbish-upstream": upstream_faults.InvalidTicksUpstream,
    "stuck-loop": stuck_loop.StuckLoop,
    "slow-consumers": client_faults.SlowConsumers,
    "half-open-consumers": client_faults.HalfOpenConsumers,
    "subscribe-storm": client_faults.SubscribeStorm,
    "refused-authentications": RefusedAuthentications,
    "memory-growth": GrowingMemory,
    "replaced-factory": ReplacedFactory,
    "clock-jump": clock_jump.ClockJump,
    "lost-broker": cluster_faults.LostBroker,
    "lost-owner": cluster_faults.LostOwner,
    "flapping-broker": cluster_faults.FlappingBroker,
    "former-owner": cluster_faults.FormerOwner,
    "leaked-interest": cluster_faults.LeakedInterest,
    "slow-gateway": cluster_faults.SlowGateway,
    "missed-renewals": cluster_faults.MissedRenewals,
    "refused-feeds": cluster_faults.RefusedFeeds,
    "unheard-gateways": cluster_faults.UnheardGateways,
    "second-owner": cluster_faults.SecondOwner,
    "crashed-worker": CrashedWorker,
}
"""By name of the drill; the number is the N of ``NAME=N``."""
