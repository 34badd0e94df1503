"""Composes the service: its parts start in order, the port for subscribers last, and stop in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable

from qcfeed.cluster.feeder import Feeder
from qcfeed.cluster.feeder_member import FeederMember
from qcfeed.cluster.gateway import NatsUpstream
from qcfeed.cluster.handlers import ClusterMember
from qcfeed.config import Config, FeederConfig, NatsConfig
from qcfeed.contrib import aiomonitor
from qcfeed.control.local import LocalControl
from qcfeed.control.recent_log import RecentLog
from qcfeed.diagnostics.histogram import Histogram
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.diagnostics.pauses import GcPauses
from qcfeed.diagnostics.sampler import DiagnosticsSampler
from qcfeed.errors import MonitorUnavailableError
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
from qcfeed.server.gateway import Gateway
from qcfeed.server.hub import Hub
from qcfeed.server.service_parts import ServiceParts
from qcfeed.server.tls import ServerTls
from qcfeed.service.control_plane import ControlPlane
from qcfeed.service.http_ports import HttpPorts
from qcfeed.service.periodic_call import PeriodicCall
from qcfeed.service.service_drills import ServiceDrills
from qcfeed.status_page.source import PageSource
from qcfeed.upstreams.registry import connect

log = logging.getLogger("qcfeed")

_TELL_REPEATS_INTERVAL = 10.0
"""Seconds between two reports of how many repeated lines the log left out."""
_INFORMED_WITHIN = 10.0
"""Seconds for which a standby waits until it knows the owner; while JetStream is away it starts without."""
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
        self._monitor: aiomonitor.Monitor | None = None
        self._tell_repeats = tell_repeats
        self._exposition = Exposition(self._read)
        self.listening = Listening(websocket="", admin="", control="")
        self.tls: ServerTls | None = None
        """None if the quotes port speaks plain TCP, and until the start."""
        self._loop = asyncio.get_running_loop()
        self.drills = ServiceDrills(config, self.feeder)
        self._member: ClusterMember | None = None
        """This service's side of a cluster; None if it is in none."""
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
            drill=self.drills.running,
            http_ended=self._http_ended,
            cluster=self.cluster,
            tls=lambda: self.tls,
            evidence=lambda: self.control.evidence(),
        )
        self.control = ControlPlane(
            self.parts,
            self.drills,
            self.sampler,
            self.recent,
            self._exposition,
            log=log,
            member=self._member,
            nats=self._nats,
        )
        self._metrics = metrics.ServiceMetrics(self.parts)
        self._standing_by: contextlib.AsyncExitStack | None = None
        """Ends the feeder that ``stand_by`` has started; None if it was not called."""
        self._started = contextlib.AsyncExitStack()

    async def stand_by(self) -> None:
        """In a feeder: compete for the lease now. ``start`` then waits for the end of the predecessor."""
        if self.feeder is None:
            return
        if self.config.monitor:
            aiomonitor.load()  # a slow import, which would delay the first quotes later
        async with contextlib.AsyncExitStack() as parts:
            parts.push_async_callback(self.feeder.stop)
            self.feeder.start(self.hub)
            if not await self.feeder.wait_informed(_INFORMED_WITHIN):
                log.warning(
                    "share %s: the owner is not known after %g s; starting anyway",
                    self.feeder.share,
                    _INFORMED_WITHIN,
                )
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
            await self.control.start(
                parts, quotes.getsockname()[1], successor=self._standing_by is not None
            )
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
            # Called last, after the timer is cancelled: reports what was left out since its last call.
            parts.callback(self._tell_repeats)
            parts.callback(
                PeriodicCall(self._loop, _TELL_REPEATS_INTERVAL, self._tell_repeats).cancel
            )
            await self._start_serving(parts, quotes)
            self.drills.start(parts)
            self._started = parts.pop_all()

    async def stop(self) -> None:
        """Accept no more connections, close all, stop the feeds and join their tasks, then the rest."""
        await self._started.aclose()

    # ------------------------------------------------------------ parts

    def _make_hub(self) -> Hub:
        config, feeder = self.config, self.feeder
        upstream = connect(config.upstream, clock=self.drills.clock, groups=[self._nats])
        if feeder is None:
            self._member = upstream if isinstance(upstream, NatsUpstream) else None
            return self.drills.new_hub(config, upstream)
        self._member = FeederMember(feeder)
        # The owner notices late that no gateway wants a symbol any more; that delay is part of the linger time.
        config = dataclasses.replace(config, linger=max(0, config.linger - feeder.notice_after))
        return self.drills.new_hub(config, upstream, feeder.new_epoch)

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
        return PageSource(
            LocalControl(lambda path, params: self.control.read(path, params)),
            lambda: self.control.instance,
        )

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
            # The other half of the time is for ending the feeds and everything else.
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

    def _http_ended(self) -> Counter[str]:
        """Plain HTTP connections that were ended on all ports, by reason, and malformed requests."""
        monitor = Counter() if self._monitor is None else self._monitor.ended
        return self._http.connections.ended + self.control.http_ended + monitor

    def _readiness(self) -> str:
        if self.gateway.draining:
            return "draining"
        drill = self.drills.running()
        if self.feeder is not None and not self.feeder.informed:
            return "starting: the owner of the share is not known yet"
        if self.feeder is not None and drill is None:
            return "ready (owner)" if self.feeder.is_owner else "ready (standby)"
        return "ready" if drill is None else f"ready (DRILL {drill})"

    def cluster(self) -> ClusterStatus | None:
        """This service's side of a cluster; None if it is in none. From any thread."""
        return None if self._member is None else self._member.cluster()
