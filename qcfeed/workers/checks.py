"""Asks a process of the group whether it is well: each check is bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from qcfeed.control import paths, routes
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.errors import QcfeedError
from qcfeed.model.status import ServiceStatus

TIMEOUT = 2.0
"""Seconds that a process has to answer."""
_AT_ONCE = 16


class Report(NamedTuple):
    """``stalled_for``: seconds for which its event loop has not run. ``stack``: where it is, innermost last."""

    stalled_for: float = 0.0
    stack: tuple[str, ...] = ()


HealthCheck = Callable[[], Awaitable[Report]]
"""Raises QcfeedError, TimeoutError or OSError if the process does not answer in time."""


class Checks:
    """The checks of one group, with the threads in which control planes are asked."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="qcfeed-checks")

    def of_worker(self, name: str) -> HealthCheck:
        """Asks the control plane of the worker ``name``, which answers while its event loop is stuck."""

        async def check() -> Report:
            client = ControlClient(ControlAddress(socket=paths.socket_path(name)), timeout=TIMEOUT)
            loop = asyncio.get_running_loop()
            try:
                status = await loop.run_in_executor(
                    self._threads, lambda: client.get(routes.STATUS, ServiceStatus)
                )
            finally:
                client.abort()  # if this task was cancelled, the thread must not go on
            stack = status.loop_stack if isinstance(status.loop_stack, list) else ()
            return Report(status.loop_stall_ms / 1_000, tuple(stack))

        return check

    def of_broker(self, port: Callable[[], int]) -> HealthCheck:
        """Connects to the NATS server, which then introduces itself."""

        async def check() -> Report:
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await asyncio.open_connection("127.0.0.1", port())
                try:
                    if not (await reader.readline()).startswith(b"INFO "):
                        raise QcfeedError("what listens on its port is not a NATS server")
                finally:
                    writer.transport.abort()
            return Report()

        return check

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
