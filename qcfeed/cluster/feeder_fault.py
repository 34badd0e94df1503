"""What a drill does to a feeder."""

from __future__ import annotations

import itertools

from qcfeed.cluster.core.lease import (
    LeaseAnswer,
    LeaseOutcome,
    LeaseRequest,
    RaiseRevision,
    ReadKey,
    Stored,
    UpdateKey,
)
from qcfeed.model.link_faults import FeederFault


class FeederFaults:
    """The feeder's faults: none, unless a drill has set one."""

    def __init__(self) -> None:
        self.fault = FeederFault.NONE
        self._renewals = itertools.cycle((True, False))

    @property
    def deaf(self) -> bool:
        """Whether answers of gateways are ignored."""
        return self.fault is FeederFault.GATEWAYS_UNHEARD

    def loses(self, request: LeaseRequest, *, owner: bool) -> bool:
        """Whether ``request`` is lost on its way. Only every other renewal is, so the lease never ends."""
        renews = owner and isinstance(request, UpdateKey)
        return renews and self.fault is FeederFault.LEASE_UNANSWERED and next(self._renewals)

    @property
    def imagines_lease(self) -> bool:
        """Whether the feeder believes that it has the lease."""
        return self.fault is FeederFault.LEASE_IMAGINED

    def answer(self, request: LeaseRequest, floor: int) -> LeaseAnswer | None:
        """The answer to a request that is not sent; None if it is. ``floor``: no epoch may be below it.

        The epoch is lower than that of any owner since, so gateways reject the feeder.
        """
        if not self.imagines_lease:
            return None
        if isinstance(request, ReadKey):
            return LeaseOutcome.ABSENT
        if isinstance(request, RaiseRevision):
            return LeaseOutcome.RAISED
        return Stored(request.last if isinstance(request, UpdateKey) else floor + 1)
