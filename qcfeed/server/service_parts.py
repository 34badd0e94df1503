"""The parts of a running service, for the control plane's handlers and the metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from qcfeed.config import Config
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.pauses import GcPauses
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.status import Listening, SavedEvidence
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub
from qcfeed.server.tls import ServerTls


class EvidenceCounts(NamedTuple):
    """The latest bundle that the service saved by itself; how many since the start, and how often it failed."""

    latest: SavedEvidence | None = None
    saved: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """References to the parts, which service/app.py creates. ``started_at`` is in Unix seconds.

    ``drill`` returns the running drill, or None. ``http_ended`` counts plain HTTP connections that the
    service ended on all ports, by reason, and malformed requests. ``cluster``: its side of a cluster.
    """

    config: Config
    loop: asyncio.AbstractEventLoop
    ledger: Ledger
    watch: LoopWatch
    pauses: GcPauses
    hub: Hub
    gateway: Gateway
    listening: Listening
    started_at: float
    drill: Callable[[], str | None]
    http_ended: Callable[[], Counter[str]]
    cluster: Callable[[], ClusterStatus | None]
    tls: Callable[[], ServerTls | None]
    """None for a service without TLS."""
    evidence: Callable[[], EvidenceCounts]
    """What the service saved by itself."""
