"""The processes of a service that was started with ``serve --workers``."""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.status import ServiceStatus


class Worker(msgspec.Struct, kw_only=True):
    """One process. ``status``: its own answer; null for one that has none, or did not answer in time."""

    name: str
    """Its instance name; of the NATS server, only a name."""
    role: str
    """``gateway``, ``feeder`` or ``nats``."""
    state: str
    """``starting``, ``ready``, ``stuck`` (it does not answer, or its event loop does not run), ``waiting``
    (for its next start), ``stopping`` or ``ended``."""
    process: int | None
    """Its process identifier, while it runs."""
    up_s: float
    """Seconds since it was last ready; 0 unless it is."""
    restarts: int
    """How often it was started again."""
    restarts_by_reason: dict[str, int] = {}
    """The same by reason: it ``ended``, was ``stuck`` and therefore killed, or it was ``requested``."""
    problem: str | None = None
    """Why it ended last, or why it is stuck."""
    status: ServiceStatus | None = None


class Workers(Answer, kw_only=True, tag="qcfeed.workers/1"):
    version: str
    state: str
    """``serving``, ``restarting`` or ``draining``."""
    websocket: str
    """Where all gateways accept connections."""
    upstream: str
    uptime_s: float
    workers: list[Worker]


class RestartWorkersRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Restart these workers one after the other; all gateways and the feeder without ``names``."""

    names: list[str] = []
    timeout_s: float = 60.0


class RestartedWorkers(Answer, kw_only=True, tag="qcfeed.workers.restarted/1"):
    """``restarted``: in that order."""

    restarted: list[str]
