"""Composes the service: its parts start in order, the port for subscribers last, and stop in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from qcfeed.cluster.feeder import Feeder
from qcfeed.cluster.gateway import NatsUpstream
from qcfeed.cluster.handlers import ClusterHandlers
from qcfeed.cluster.responder import Responder
from qcfeed.config import Config, FeederConfig, NatsConfig
from qcfeed.contrib import aiomonitor
from qcfeed.control import paths
from qcfeed.control.audit import AuditLog
from qcfeed.control.companion import Companion
from qcfeed.control.handlers import findings, history, memory, report, tasks
from qcfeed.control.local import LocalControl
from qcfeed.control.recent_log import RecentLog
from qcfeed.control.server import ControlServer
from qcfeed.diagnostics.histogram import Histogram
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.pauses import GcPauses
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.drills import catalog
from qcfeed.drills.base import DrillEnvironment
from qcfeed.drills.handlers import DrillHandlers
from qcfeed.drills.runner import DrillRunner
from qcfeed.drills.tampered_upstream import TamperedUpstream
from qcfeed.drills.wall_clock import WallClock
from qcfeed.errors import InstanceTakenError, MonitorUnavailableError, StartError
from qcfeed.metrics.catalog.metrics import DELAY_BUCKETS
from qcfeed.metrics.collectors import Exposition, Sample
from qcfeed.metrics.recent_history import FeedCounts, RecentHistory
from qcfeed.model.cluster import ClusterStatus
from qcfeed.model.status import Listening
from qcfeed.net import listen
from qcfeed.net.tls_context import TlsFiles
from qcfeed.net.transport import Transport
from qcfeed.server import metrics
from qcfeed.server.authentication import Authenticator
from qcfeed.server.feed_handlers import FeedHandlers, orphan_rows
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub
from qcfeed.server.memory_stores import service_stores
from qcfeed.server.service_parts import EvidenceCounts, ServiceParts
from qcfeed.server.subscriber_handlers import SubscriberHandlers
from qcfeed.server.tls import ServerTls
from qcfeed.service.evidence import EvidenceSaver
from qcfeed.service.http_ports import HttpPorts
from qcfeed.service.periodic_call import PeriodicCall
from qcfeed.status_page.source import PageSource
from qcfeed.upstreams.registry import connect

log = logging.getLogger("qcfeed")

MAX_SHARED_INSTANCES = 1_000
"""Instances behind a shared port that get a numbered name; further ones must be named explicitly."""

_TELL_REPEATS_INTERVAL = 10.0
"""Seconds after which the log says how many lines like others were left out."""
_INFORMED_WITHIN = 10.0
"""Seconds that a standby waits to hear of the owner: where JetStream is away, it has to go on without."""
_NAME_FREE_POLL = 0.05
_SAMPLE_INTERVAL = 2.0
"""Seconds between two samples of the feeds' rates."""


class Service:
    """All parts of one ``qcfeed serve``, from ``start`` to ``stop``."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        log: RecentLog | None = None,
        *,
        tell_repeats: Callable[[], None] = lambda: None,
        nats: NatsConfig | None = None,
        feeder: FeederConfig | None = None,
    ) -> None:
        """Start nothing yet. ``log``: recent log lines, for reports. ``tell_repeats`` is called regularly.
        ``nats``: how to log in to NATS.

        With ``feeder`` it publishes on NATS, and serves HTTP only. Raises ConfigError for an invalid
        upstream, drill or feeder, and for keys that cannot be used.
        """
        self.config = config
        self._nats = nats or NatsConfig()
        self.feeder = None if feeder is None else Feeder(feeder, self._nats)
        """None if this service serves subscribers itself."""
        self.ledger = ledger
        self.watch = LoopWatch(lags=Histogram(DELAY_BUCKETS))
        self.pauses = GcPauses()
        self.recent = RecentHistory(self._counts)
        self.sampler = DiagnosticsSampler(ledger, self.watch, on_snapshot=self.recent.note)
        self._log = log
        self._control: ControlServer | None = None
        self._evidence: EvidenceSaver | None = None
        self._monitor: aiomonitor.Monitor | None = None
        self._tell_repeats = tell_repeats
        self._exposition = Exposition(self._read)
        self.instance = ""
        self.listening = Listening(websocket="", admin="", control="")
        self.tls: ServerTls | None = None
        """None if the quotes port speaks plain TCP, and until the start."""
        self._loop = asyncio.get_running_loop()
        self._startup_drill = None if config.drill is None else catalog.parse(config.drill)
        self._wall = WallClock()
        self.hub = self._make_hub()
        self._http = HttpPorts(
            config,
            self._exposition,
            self._readiness,
            for_feeder=feeder is not None,
            page=self._page_source() if config.page else None,
        )
        self.authenticator = Authenticator(config) if config.authenticates else None
        self.gateway = Gateway(
            config,
            self.hub,
            None if config.admin_listen else self._http.connections,
            self.authenticator,
        )
        self.parts = ServiceParts(
            config=config,
            loop=self._loop,
            ledger=ledger,
            watch=self.watch,
            pauses=self.pauses,
            hub=self.hub,
            gateway=self.gateway,
            listening=self.listening,
            started_at=time.time(),
            drill=self.drill,
            http_ended=self._http_ended,
            cluster=self.cluster,
            tls=lambda: self.tls,
            evidence=self._saved_evidence,
        )
        self.drills: DrillRunner | None = None
        """None if this service does not allow drills."""
        self._metrics = metrics.ServiceMetrics(self.parts)
        self._standing_by: contextlib.AsyncExitStack | None = None
        """What ends the feeder that has started already."""
        self._started = contextlib.AsyncExitStack()

    async def stand_by(self) -> None:
        """In a feeder: compete for the lease now. ``start`` then waits for the end of the predecessor."""
        if self.feeder is None:
            return
        if self.config.monitor:
            aiomonitor.load()  # later it would hold up the first quotes
        async with contextlib.AsyncExitStack() as parts:
            parts.push_async_callback(self.feeder.stop)
            self.feeder.start(self.hub)
            if not await self.feeder.wait_informed(_INFORMED_WITHIN):
                log.warning("share %s: the owner is not known yet", self.feeder.share)
            self._standing_by = parts.pop_all()

    async def start(self) -> None:
        """Start every part. Raises StartError or ConfigError, with nothing left running."""
        async with contextlib.AsyncExitStack() as parts:
            if self._standing_by is not None:
                await parts.enter_async_context(self._standing_by)
            self._start_tls(parts)
            # Bound first, because the instance is named after the port. It listens last.
            quotes = parts.enter_context(
                listen.bind(
                    self.config.host, self.config.port, "--port", shared=self.config.reuse_port
                )
            )
            self.listening.websocket = self.listening.admin = listen.format_address(quotes)
            await self._claim_instance(parts, quotes.getsockname()[1])
            if self.config.monitor:
                self._start_monitor(parts)
            self.listening.admin = await self._http.start(parts) or self.listening.admin
            if self.config.page:
                self.listening.page = f"{self.listening.admin_url}/"
            # Unwound in reverse: the feeds end before the upstream's own tasks.
            parts.push_async_callback(self.hub.upstream.close)
            parts.push_async_callback(self.hub.stop)
            # The loop watch starts late: slow imports or loading a recording must not count as a stall.
            self.watch.start(self._loop)
            parts.callback(self.watch.stop)
            self.pauses.start()
            parts.callback(self.pauses.stop)
            self.sampler.start(self._loop)
            parts.callback(self.sampler.stop)
            parts.callback(self._start_sampling().cancel)
            if self.authenticator is not None:
                self.authenticator.start()
                parts.push_async_callback(self.authenticator.close)
            parts.callback(self._tell_repeats)
            parts.callback(
                PeriodicCall(self._loop, _TELL_REPEATS_INTERVAL, self._tell_repeats).cancel
            )
            await self._start_serving(parts, quotes)
            self._start_drill(parts)
            self._started = parts.pop_all()

    async def stop(self) -> None:
        """Accept no more connections, close all, stop the feeds and join their tasks, then the rest."""
        await self._started.aclose()

    # ------------------------------------------------------------ parts

    def _start_tls(self, parts: contextlib.AsyncExitStack) -> None:
        config = self.config
        files = TlsFiles.named(config.tls_cert, config.tls_key, config.tls_client_ca)
        if files is None:
            return
        self.tls = ServerTls(files)
        self.listening.tls = self.tls.listening
        self.tls.start()
        parts.push_async_callback(self.tls.stop)

    def _page_source(self) -> PageSource:
        """What the status page shows: it reads the control plane, which starts before HTTP does."""

        def read(path: str, params: Mapping[str, str]) -> bytes:
            if self._control is None:
                raise StartError("the service has not started", hint="try again")
            return self._control.read(path, params)

        return PageSource(LocalControl(read), lambda: self.instance)

    async def _claim_instance(self, parts: contextlib.AsyncExitStack, port: int) -> None:
        """Start the control plane under the instance name. A successor waits until it is free."""
        while True:
            try:
                return self._claim_free_instance(parts, port)
            except InstanceTakenError:
                if self._standing_by is None:
                    raise
                # Without end here: our supervisor allows a time.
                await asyncio.sleep(_NAME_FREE_POLL)

    def _claim_free_instance(self, parts: contextlib.AsyncExitStack, port: int) -> None:
        """As ``_claim_instance``; behind a shared port, the name is the first free number."""
        if self.config.instance or not self.config.reuse_port:
            self._start_control(parts, self.config.instance or str(port))
            return
        for number in range(1, MAX_SHARED_INSTANCES + 1):
            with contextlib.suppress(InstanceTakenError):
                self._start_control(parts, f"{port}-{number}")
                return
        raise StartError(
            f"{MAX_SHARED_INSTANCES} instances already share port {port}",
            hint="name this one: `qcfeed --instance NAME serve --reuse-port`",
        )

    def _start_control(self, parts: contextlib.AsyncExitStack, instance: str) -> None:
        self.instance = instance
        path = paths.socket_path(self.instance)
        audit = AuditLog(Path(self.config.audit_log or paths.audit_path(self.instance)))
        self.drills = self._make_drill_runner(audit)
        where = self.config.control_listen
        server = ControlServer(
            [
                *tasks.routes(
                    self.ledger,
                    self.watch,
                    further_orphans=orphan_rows(self.hub),
                    remove_further=self._sweep_orphans,
                ),
                *findings.routes(self.sampler),
                *history.routes(self.recent, self.sampler),
                *memory.routes(self.ledger, service_stores(self.parts, self._own_memory)),
                *report.routes(
                    audit, log=self._log, config=self.config, metrics=self._exposition.text
                ),
                *FeedHandlers(self.parts).routes(),
                *SubscriberHandlers(self.parts).routes(),
                *ClusterHandlers(self.feeder or self._gateway_upstream).routes(),
                *DrillHandlers(self.drills).routes(),
            ],
            instance=self.instance,
            socket=path,
            loop=self._loop,
            watch=self.watch,
            audit=audit,
            companion=self._responder(instance),
            listen=None if where is None else listen.parse_address(where, "--control-listen"),
        )
        server.start()
        self._control = server
        # The control plane's thread may wait for an action in this loop, so the loop must not block on it.
        parts.push_async_callback(asyncio.to_thread, server.stop)
        self._evidence = EvidenceSaver(self.config, instance, path, audit, self.recent, self.watch)
        self._evidence.start()
        parts.push_async_callback(asyncio.to_thread, self._evidence.stop)
        self.listening.control = str(path)
        self.listening.control_tcp = server.tcp

    def _responder(self, instance: str) -> Companion | None:
        """What answers `qcfeed --cluster` over NATS, if this service uses NATS."""
        part = self.feeder or self._gateway_upstream
        if part is None or self._nats.nats_operators == "nothing":
            return None
        feeds = self.feeder is not None
        return Responder(part.urls, self._nats, instance, remembers=feeds).run

    def _start_monitor(self, parts: contextlib.AsyncExitStack) -> None:
        try:
            attached = aiomonitor.attach(self._loop, self.ledger, self.config)
        except MonitorUnavailableError as error:
            self.listening.monitor_off = error.message
            log.warning("the monitor is off: %s; %s", error.message, error.hint)
            return
        self._monitor = attached
        parts.push_async_callback(asyncio.to_thread, attached.close)
        self.listening.monitor = attached.telnet
        self.listening.monitor_web = attached.web

    async def _start_serving(self, parts: contextlib.AsyncExitStack, quotes: socket.socket) -> None:
        """Accept subscribers; or, in a feeder, publish, with only HTTP on the port."""
        new_transport = Transport if self.tls is None else self.tls.transport
        if self.feeder is None:
            await self.gateway.start(quotes, new_transport)
            # Half of the time is left for the feeds and everything else.
            parts.push_async_callback(self.gateway.drain, self.config.drain_timeout / 2)
            return
        if not self.config.admin_listen:
            self._http.listen(parts, quotes, "connections of --port", new_transport)
        if self._standing_by is None:
            self.feeder.start(self.hub)
        parts.push_async_callback(self.feeder.stop)

    def _start_sampling(self) -> PeriodicCall:
        return PeriodicCall(self._loop, _SAMPLE_INTERVAL, self.hub.sample)

    def _read(self) -> Iterable[Sample]:
        return self._metrics.collect()

    def _counts(self) -> FeedCounts:
        hub = self.hub
        return FeedCounts(hub.subscriptions, len(hub.orphaned_subscriptions()), len(hub.feeds))

    def _saved_evidence(self) -> EvidenceCounts:
        return EvidenceCounts() if self._evidence is None else self._evidence.counts()

    def _own_memory(self) -> list[object]:
        return [self.ledger, self.sampler, self.recent, self._log]

    async def _sweep_orphans(self) -> int:
        return self.hub.sweep_orphans()

    def _http_ended(self) -> Counter[str]:
        """Plain HTTP connections that were ended on all ports, by reason, and malformed requests."""
        ports = [self._http.connections, self._control, self._monitor]
        return sum((each.ended for each in ports if each is not None), Counter())

    def _readiness(self) -> str:
        if self.gateway.draining:
            return "draining"
        drill = self.drill()
        if self.feeder is not None and not self.feeder.informed:
            return "starting: the owner of the share is not known yet"
        if self.feeder is not None and drill is None:
            return "ready (owner)" if self.feeder.cluster().lease_epoch else "ready (standby)"
        return "ready" if drill is None else f"ready (DRILL {drill})"

    def cluster(self) -> ClusterStatus | None:
        """This service's side of a cluster; None if it is in none. From any thread."""
        part = self.feeder or self._gateway_upstream
        return None if part is None else part.cluster()

    # ------------------------------------------------------------ drills

    def drill(self) -> str | None:
        """The running drill, or None."""
        if self.drills is None:
            return None
        active = self.drills.active
        return None if active is None else str(active.configured)

    def _make_hub(self) -> Hub:
        """The hub; the upstream is wrapped for drills only if drills are allowed."""
        config, feeder = self.config, self.feeder
        clock = self._wall.ns if config.drills_allowed else time.time_ns
        upstream = connect(config.upstream, clock=clock, groups=[self._nats])
        self._gateway_upstream = upstream if isinstance(upstream, NatsUpstream) else None
        epochs = None
        if feeder is not None:
            epochs = feeder.new_epoch
            config = dataclasses.replace(config, linger=max(0, config.linger - feeder.notice_after))
        if not self.config.drills_allowed:
            return Hub(config, upstream, epochs=epochs)
        return Hub(config, TamperedUpstream(upstream), self._wall, epochs)

    def _make_drill_runner(self, audit: AuditLog) -> DrillRunner | None:
        upstream = self.hub.upstream
        if not isinstance(upstream, TamperedUpstream):
            return None
        return DrillRunner(
            DrillEnvironment(
                loop=self._loop,
                ledger=self.ledger,
                hub=self.hub,
                upstream=upstream,
                wall=self._wall,
                gateway=self.gateway,
                listening=self.listening,
                link=self._gateway_upstream,
                feeder=self.feeder,
            ),
            audit,
        )

    def _start_drill(self, parts: contextlib.AsyncExitStack) -> None:
        if self.drills is None:
            return
        parts.push_async_callback(self.drills.shut_down)
        if self._startup_drill is not None:
            self.drills.start_audited(self._startup_drill, self.config.drill_for)
