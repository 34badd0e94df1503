"""The status of a scripted server: its real connections, plus the leaks that a test adds."""

from __future__ import annotations

from qcfeed.model.status import Bands, Listening, Memory, ServiceStatus
from qcfeed.model.tasks import TaskTotals
from tests.support.running_service import until
from tests.support.scripted_server import ScriptedServer


class Held:
    """Answers like a control plane does. The fields are what is added to the truth.

    It answers when those who left have been seen to leave, which may take a busy machine longer than a
    test gives the service; ``busy``: at once, for those that stay are what the test is about.
    """

    def __init__(self, server: ScriptedServer, *, busy: bool = False) -> None:
        self.server = server
        self.busy = busy
        self.tasks = 0
        self.feeds = 0
        self.orphans = 0
        self.resident_bytes = 50 * 2**20
        self.pid = 1
        self.feeds_by_state: dict[str, int] = {}
        self.incomplete: list[str] = []
        self.asked = 0

    async def status(self) -> ServiceStatus:
        self.asked += 1
        if not self.busy:
            await until(lambda: not self.server.held, "all who left are gone")
        connections = self.server.held
        return ServiceStatus(
            pid=self.pid,
            instance="scripted",
            version="0",
            state="serving",
            drill=None,
            started_at="",
            uptime_s=0,
            loop_lag_ms=0,
            memory=Memory(resident_bytes=self.resident_bytes, limit_bytes=0, limit_source=""),
            listening=Listening(
                websocket=self.server.endpoint.authority, admin="127.0.0.1:1", control="socket"
            ),
            upstream="scripted",
            upstream_connected=True,
            upstream_reconnects=0,
            upstream_gaps=0,
            connections=connections,
            connections_limit=100,
            feed_count=self.feeds,
            feeds_by_state=self.feeds_by_state,
            subscriptions=connections,
            subscribers_per_symbol=0,
            orphaned_tasks=self.orphans,
            orphaned_subscriptions=0,
            staleness=Bands(),
            totals=TaskTotals(live=connections + self.tasks, incomplete=self.incomplete),
        )
