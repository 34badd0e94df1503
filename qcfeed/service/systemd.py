"""What systemd is told: ready, stopping, and, while the loop turns, that it does (sd_notify(3)).

One datagram a message to the socket of ``$NOTIFY_SOCKET``, a path or (``@``) an abstract name. Without
the variable nothing is sent. There is no RELOADING: the configuration is read once, at the start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

NOTIFICATIONS_PER_DEADLINE = 2
"""A service that says it lives twice in the time it has is never late by a hair (sd_watchdog_enabled(3))."""


class Notifier:
    """Speaks to the service manager, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._every = _watchdog(environment) / NOTIFICATIONS_PER_DEADLINE
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """Started; from now on the loop says that it turns, until ``close``."""
        self._send("READY=1", f"STATUS={status}")
        if self._every and self._address:
            self._beat(asyncio.get_running_loop())

    def stopping(self, status: str) -> None:
        """Leaving politely; it goes on saying that it turns."""
        self._send("STOPPING=1", f"STATUS={status}")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """From the loop itself: a stuck one is silent, and systemd ends it."""
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
            log.warning("systemd could not be told %s: %s", lines[0], error.strerror)


def _address(given: str) -> str:
    if given and given[0] not in "/@":
        log.warning("systemd's NOTIFY_SOCKET is of a kind that is not known here: %s", given)
        return ""
    return f"\0{given[1:]}" if given.startswith("@") else given


def _watchdog(environment: Mapping[str, str]) -> float:
    """Seconds within which systemd wants to hear something; 0 for none, or when another is meant."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    try:
        return int(environment.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        log.warning("systemd's WATCHDOG_USEC is no number: %r", environment["WATCHDOG_USEC"])
        return 0.0
