"""The control plane's handlers for a cluster: what this instance runs and wants, and ending orphans among it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qcfeed.control import routes
from qcfeed.control.routes import NoQuery, Route
from qcfeed.model.cluster import ClusterReaped, ClusterReapRequest, ClusterStatus, ClusterView


class ClusterMember(Protocol):
    """A gateway's or a feeder's side of the cluster."""

    is_feeder: bool
    urls: Sequence[str]
    """Its NATS servers."""

    def cluster(self) -> ClusterStatus:
        """Its connection, its lease or the owners that it has heard of, and what is wrong; from any thread."""

    def view(self) -> ClusterView:
        """What it runs and wants; from any thread."""

    async def reap(self, request: ClusterReapRequest) -> ClusterReaped:
        """End those of the named orphans that are still in the named life."""


class ClusterHandlers:
    """``member``: None for a service that is in no cluster."""

    def __init__(self, member: ClusterMember | None) -> None:
        self._member = member

    def routes(self) -> Sequence[Route]:
        view = routes.ReadRoute(routes.CLUSTER_VIEW, NoQuery, self._view)
        if self._member is None:
            return [view]
        reap = routes.ActionRoute(
            routes.CLUSTER_REAP, "cluster reap", ClusterReapRequest, self._member.reap
        )
        return [view, reap]

    def _view(self, _: NoQuery) -> ClusterView:
        return ClusterView(role="embedded") if self._member is None else self._member.view()
