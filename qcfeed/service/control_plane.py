"""The service's control plane: its instance name, its routes, and the evidence that the service saves by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from qcfeed.cluster.handlers import ClusterHandlers, ClusterMember
from qcfeed.cluster.responder import Responder
from qcfeed.config import NatsConfig
from qcfeed.control import paths
from qcfeed.control.audit import AuditLog
from qcfeed.control.companion import Companion
from qcfeed.control.handlers import findings, history, memory, report, tasks
from qcfeed.control.recent_log import RecentLog
from qcfeed.control.routes import Route
from qcfeed.control.server import ControlServer
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.drills.handlers import DrillHandlers
from qcfeed.errors import InstanceTakenError, StartError
from qcfeed.metrics.collectors import Exposition
from qcfeed.metrics.recent_history import RecentHistory
from qcfeed.net import listen
from qcfeed.server.feed_handlers import FeedHandlers, orphan_rows
from qcfeed.server.memory_stores import service_stores
from qcfeed.server.service_parts import EvidenceCounts, ServiceParts
from qcfeed.server.subscriber_handlers import SubscriberHandlers
from qcfeed.service.evidence import EvidenceSaver
from qcfeed.service.service_drills import ServiceDrills

MAX_SHARED_INSTANCES = 1_000
"""Instances behind a shared port that get a numbered name; further ones must be named explicitly."""

_NAME_FREE_POLL = 0.05
"""Seconds between a successor's attempts to get the name of its predecessor."""


class ControlPlane:
    """One service's control plane, from ``start`` until the exit stack that it was given unwinds."""

    def __init__(
        self,
        parts: ServiceParts,
        drills: ServiceDrills,
        sampler: DiagnosticsSampler,
        recent: RecentHistory,
        exposition: Exposition,
        *,
        log: RecentLog | None,
        member: ClusterMember | None,
        nats: NatsConfig,
    ) -> None:
        """``log``: recent log lines, for reports. ``member``: the service's side of a cluster, if it is in one."""
        self.instance = ""
        """The name of this instance; empty until the start."""
        self._parts = parts
        self._drills = drills
        self._sampler = sampler
        self._recent = recent
        self._exposition = exposition
        self._log = log
        self._member = member
        self._nats = nats
        self._server: ControlServer | None = None
        self._evidence: EvidenceSaver | None = None

    async def start(self, stack: contextlib.AsyncExitStack, port: int, *, successor: bool) -> None:
        """Start under the first free instance name. A successor waits until its predecessor's is free.

        Raises StartError if there is none.
        """
        while True:
            try:
                return self._start_under_a_free_name(stack, port)
            except InstanceTakenError:
                if not successor:
                    raise
                # No limit here: the supervisor kills a successor that is not ready in time.
                await asyncio.sleep(_NAME_FREE_POLL)

    def read(self, path: str, params: Mapping[str, str]) -> bytes:
        """The JSON answer to a request that changes nothing. Raises StartError before the start."""
        if self._server is None:
            raise StartError("the service has not started", hint="try again")
        return self._server.read(path, params)

    def evidence(self) -> EvidenceCounts:
        """What the service saved by itself; from any thread."""
        return EvidenceCounts() if self._evidence is None else self._evidence.counts()

    @property
    def http_ended(self) -> Counter[str]:
        """HTTP connections to the control plane that were ended, by reason, and malformed requests."""
        return Counter() if self._server is None else self._server.ended

    def _start_under_a_free_name(self, stack: contextlib.AsyncExitStack, port: int) -> None:
        """Start under the configured name or the port; behind a shared port, under its first free number."""
        config = self._parts.config
        if config.instance or not config.reuse_port:
            self._start(stack, config.instance or str(port))
            return
        for number in range(1, MAX_SHARED_INSTANCES + 1):
            with contextlib.suppress(InstanceTakenError):
                self._start(stack, f"{port}-{number}")
                return
        raise StartError(
            f"{MAX_SHARED_INSTANCES} instances already share port {port}",
            hint="name this one: `qcfeed --instance NAME serve --reuse-port`",
        )

    def _start(self, stack: contextlib.AsyncExitStack, instance: str) -> None:
        """Start under this name. Raises InstanceTakenError."""
        self.instance = instance
        parts, config = self._parts, self._parts.config
        path = paths.socket_path(instance)
        audit = AuditLog(Path(config.audit_log or paths.audit_path(instance)))
        where = config.control_listen
        server = ControlServer(
            self._routes(audit),
            instance=instance,
            socket=path,
            loop=parts.loop,
            watch=parts.watch,
            audit=audit,
            companion=self._responder(),
            listen=None if where is None else listen.parse_address(where, "--control-listen"),
        )
        server.start()
        self._server = server
        # The control plane's thread may wait for an action in this loop, so the loop must not block on it.
        stack.push_async_callback(asyncio.to_thread, server.stop)
        self._evidence = EvidenceSaver(config, instance, path, audit, self._recent, parts.watch)
        self._evidence.start()
        stack.push_async_callback(asyncio.to_thread, self._evidence.stop)
        parts.listening.control = str(path)
        parts.listening.control_tcp = server.tcp

    def _routes(self, audit: AuditLog) -> list[Route]:
        parts = self._parts
        return [
            *tasks.routes(
                parts.ledger,
                parts.watch,
                further_orphans=orphan_rows(parts.hub),
                remove_further=self._sweep_orphans,
            ),
            *findings.routes(self._sampler),
            *history.routes(self._recent, self._sampler),
            *memory.routes(parts.ledger, service_stores(parts, self._own_memory)),
            *report.routes(
                audit, log=self._log, config=parts.config, metrics=self._exposition.text
            ),
            *FeedHandlers(parts).routes(),
            *SubscriberHandlers(parts).routes(),
            *ClusterHandlers(self._member).routes(),
            *DrillHandlers(self._drills.new_runner(parts, audit)).routes(),
        ]

    def _responder(self) -> Companion | None:
        """What answers `qcfeed --cluster` over NATS, if this service uses NATS."""
        if self._member is None or self._nats.nats_operators == "nothing":
            return None
        member = self._member
        return Responder(member.urls, self._nats, self.instance, remembers=member.is_feeder).run

    def _own_memory(self) -> list[object]:
        return [self._parts.ledger, self._sampler, self._recent, self._log]

    async def _sweep_orphans(self) -> int:
        return self._parts.hub.sweep_orphans()
