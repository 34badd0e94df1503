"""The drills of one service: what they may break, and the drill with which it starts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from qcfeed.cluster.feeder import Feeder
from qcfeed.cluster.gateway import NatsUpstream
from qcfeed.config import Config
from qcfeed.control.audit import AuditLog
from qcfeed.drills import catalog
from qcfeed.drills.base import DrillEnvironment
from qcfeed.drills.runner import DrillRunner
from qcfeed.drills.tampered_upstream import TamperedUpstream
from qcfeed.drills.wall_clock import WallClock
from qcfeed.server.hub import Hub
from qcfeed.server.service_parts import ServiceParts
from qcfeed.upstreams.base import Upstream


class ServiceDrills:
    """Makes a service that drills can break, if the configuration allows drills; otherwise a plain one."""

    def __init__(self, config: Config, feeder: Feeder | None) -> None:
        """Raises ConfigError for an invalid ``--drill``."""
        self._config = config
        self._feeder = feeder
        self._link: NatsUpstream | None = None
        self._at_start = None if config.drill is None else catalog.parse(config.drill)
        self._wall = WallClock()
        self.runner: DrillRunner | None = None
        """None if this service does not allow drills, and until ``new_runner``."""

    @property
    def clock(self) -> Callable[[], int]:
        """The clock for the times of quotes, in nanoseconds: a drill may shift it."""
        return self._wall.ns if self._config.drills_allowed else time.time_ns

    def new_hub(
        self, config: Config, upstream: Upstream, epochs: Callable[[], str] | None = None
    ) -> Hub:
        """The hub; the upstream is wrapped for drills only if they are allowed, since that costs time per quote."""
        self._link = upstream if isinstance(upstream, NatsUpstream) else None
        if not self._config.drills_allowed:
            return Hub(config, upstream, epochs=epochs)
        return Hub(config, TamperedUpstream(upstream), self._wall, epochs)

    def new_runner(self, parts: ServiceParts, audit: AuditLog) -> DrillRunner | None:
        """What runs drills, and writes them to ``audit``; None if they are not allowed."""
        upstream = parts.hub.upstream
        if isinstance(upstream, TamperedUpstream):
            environment = DrillEnvironment(
                loop=parts.loop,
                ledger=parts.ledger,
                hub=parts.hub,
                upstream=upstream,
                wall=self._wall,
                gateway=parts.gateway,
                listening=parts.listening,
                link=self._link,
                feeder=self._feeder,
            )
            self.runner = DrillRunner(environment, audit)
        return self.runner

    def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start the configured drill. When ``stack`` unwinds, whichever drill runs then is stopped."""
        if self.runner is None:
            return
        stack.push_async_callback(self.runner.shut_down)
        if self._at_start is not None:
            self.runner.start_audited(self._at_start, self._config.drill_for)

    def running(self) -> str | None:
        """The running drill, or None."""
        active = None if self.runner is None else self.runner.active
        return None if active is None else str(active.configured)
