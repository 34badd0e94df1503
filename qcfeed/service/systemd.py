"""Notifies systemd: ready, stopping, and watchdog keep-alives from the loop (sd_notify(3)).

Each message is a datagram to the socket ``$NOTIFY_SOCKET``, a path or an abstract name (``@``). Without
that variable nothing is sent. RELOADING is never sent: the configuration is read once, at the start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

NOTIFICATIONS_PER_DEADLINE = 2
"""Keep-alives per watchdog timeout; sd_watchdog_enabled(3) recommends half the timeout."""

STANDING_BY = "X_QCFEED_STANDING_BY=1"
"""Our own message; systemd ignores names that begin with X_."""


class Notifier:
    """Sends notifications to the service manager, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._every = _watchdog(environment) / NOTIFICATIONS_PER_DEADLINE
        self._timer: asyncio.TimerHandle | None = None

    def standing_by(self) -> None:
        """Report to a supervisor that this process can take over from its predecessor; see workers/child_process.py."""
        self._send(STANDING_BY)

    def ready(self, status: str) -> None:
        """Report the service as started; keep-alives are sent from now on until ``close``."""
        self._send("READY=1", f"STATUS={status}")
        if self._every and self._address:
            self._beat(asyncio.get_running_loop())

    def stopping(self, status: str) -> None:
        """Report the service as stopping; keep-alives go on."""
        self._send("STOPPING=1", f"STATUS={status}")

    @property
    def sends_keep_alives(self) -> bool:
        """Whether a keep-alive is due."""
        return self._timer is not None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send a keep-alive. It runs in the loop, so systemd kills the service when the loop is stuck."""
        self._timer = loop.call_later(self._every, self._beat, loop)
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("cannot notify systemd of %s: %s", lines[0], error.strerror)


def _address(given: str) -> str:
    if given and given[0] not in "/@":
        log.warning("unsupported kind of NOTIFY_SOCKET: %s", given)
        return ""
    return f"\0{given[1:]}" if given.startswith("@") else given


def _watchdog(environment: Mapping[str, str]) -> float:
    """The watchdog timeout in seconds; 0 if there is none, or if it is for another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return int(environment.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        log.warning("WATCHDOG_USEC is not a number: %r", environment["WATCHDOG_USEC"])
        return 0.0
