"""The status of the service, or of a program that uses ``attach()``.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.tasks import TaskTotals


class Memory(msgspec.Struct, kw_only=True):
    resident_bytes: int
    limit_bytes: int
    limit_source: str
    """``cgroup v2``, ``cgroup v1`` or ``machine``."""


class Bands(msgspec.Struct, kw_only=True):
    """Feeds that have subscribers, by the age of their last quote.

    ``no_quote``: those that have had none yet, as long as none is overdue.
    """

    no_quote: int = 0
    live: int = 0
    stale: int = 0
    very_stale: int = 0
    dead: int = 0


class TlsListening(msgspec.Struct, kw_only=True):
    """The certificate that the quotes port uses for new connections."""

    names: list[str]
    """The names and addresses that it is for."""
    not_after: str
    """When it expires."""
    sha256: str
    """Its fingerprint, in hexadecimal."""
    certificate: str
    """The certificate itself (PEM), for clients on this machine."""
    client_certificates: bool
    """Whether clients must have a certificate (``--tls-client-ca``)."""
    problem: str | None = None
    """Why the files as they are now are not in use; null if they are."""


class Listening(msgspec.Struct, kw_only=True):
    """The addresses of the process; null for a part that is off."""

    websocket: str
    admin: str
    control: str
    monitor: str | None = None
    monitor_web: str | None = None
    monitor_off: str | None = None
    """Why the monitor is off, if it could not be started."""
    control_tcp: str | None = None
    tls: TlsListening | None = None
    """The certificate of the quotes port; null if it speaks plain TCP."""
    page: str | None = None
    """The URL of the status page."""

    @property
    def quotes_url(self) -> str:
        """The URL for subscribers, without a path."""
        return f"{'ws' if self.tls is None else 'wss'}://{self.websocket}"

    @property
    def admin_url(self) -> str:
        """The URL of the HTTP endpoints, without a path."""
        # A port of their own is for Prometheus and probes, and speaks plain HTTP.
        shared = self.tls is not None and self.admin == self.websocket
        return f"{'https' if shared else 'http'}://{self.admin}"


class ExposureGap(msgspec.Struct, kw_only=True):
    """A protection that a service lacks although other machines can reach it, and the remedy."""

    topic: str
    problem: str
    remedy: str


class SavedEvidence(msgspec.Struct, kw_only=True):
    """A bundle that the service has saved by itself. ``file``: its path. ``why``: what made it do so."""

    file: str
    saved_at: str
    file_bytes: int
    why: str


class ServiceStatus(Answer, kw_only=True, tag="qcfeed.status/2"):
    version: str
    state: str
    """``serving`` or ``draining``."""
    drill: str | None
    started_at: str
    uptime_s: float
    loop_lag_ms: float
    """How late the loop's last heartbeat was."""
    memory: Memory
    listening: Listening
    upstream: str
    upstream_connected: bool
    upstream_reconnects: int
    upstream_gaps: int
    upstream_invalid_messages: int = 0
    connections: int
    connections_limit: int
    """``connections_wanted``, or fewer if the process may not open enough files."""
    feed_count: int
    feeds_by_state: dict[str, int]
    """Feeds by ``demand/upstream_state``, as in feed/lifecycle.py; states without a feed are left out."""
    subscriptions: int
    subscribers_per_symbol: float
    orphaned_tasks: int
    orphaned_subscriptions: int
    staleness: Bands
    totals: TaskTotals
    closed: dict[str, int] = msgspec.field(default_factory=dict)
    """Connections closed since the start, by close code, ``lost`` or ``timeout``."""
    connections_wanted: int | None = None
    """The option --max-connections."""
    http_ended: dict[str, int] = msgspec.field(default_factory=dict)
    """Plain HTTP connections ended by the service since the start, by reason, and malformed requests."""
    refused: dict[str, int] = msgspec.field(default_factory=dict)
    """Requests refused since the start, by error code."""
    access_problems: list[str] = msgspec.field(default_factory=list)
    """Why files or URLs with the keys of subscribers are not used as they are now; empty if they are."""
    exposure: list[ExposureGap] = msgspec.field(default_factory=list)
    """Protections that it lacks, if other machines can reach it."""
    saved_evidence: SavedEvidence | None = None
    """The latest bundle that the service saved by itself, also before its last start; null if there is none."""
    restarts_by_reason: dict[str, int] = msgspec.field(default_factory=dict)
    """Of a process of ``serve --workers``: how often it was started again; empty for other services."""
    last_restart: str | None = None
    """Of such a process: the reason for its last restart; null if it runs for the first time."""
    cluster: ClusterStatus | None = None
    """For a gateway or feeder: its side of the cluster."""


class ProgramStatus(Answer, kw_only=True, tag="qcfeed.process/2"):
    """The status of a program that uses ``attach()``: it has no feeds. ``attached_s``: since ``attached_at``."""

    python: str
    attached_at: str
    attached_s: float
    loop_lag_ms: float
    """How late the loop's last heartbeat was."""
    memory: Memory
    totals: TaskTotals
