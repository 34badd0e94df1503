"""Faults of clients: slow reading, vanishing without closing, and subscribe storms."""

from __future__ import annotations

import contextlib
import itertools
import time

from qcfeed.drills.clients import Client, FaultyClients

_SLOW_SYMBOLS = 100
_SLOW_BYTES = 32_768
"""Bytes per read. The client must read more than one TCP segment at a time: otherwise its window counts as closed,
and after --stall-timeout the service's kernel drops the connection."""
SLOW_EVERY = 4.0
"""Seconds between two reads of a slow consumer."""
_SMALL_BUFFER = 32_768
_RECONNECT_EVERY = 0.25
"""Seconds between two checks for connections that the service has closed."""
_STORM_BATCH = 100
_PAUSE = 0.05
"""Minimum seconds between two storming clients, so that refused ones do not retry in a tight loop."""
_STORM_ROUNDS = 10
"""Requests of one storming client before it disconnects without a close frame and reconnects."""


class SlowConsumers(FaultyClients):
    """Clients with many symbols that read a little at a time. They answer pings, and leave when closed."""

    def run_clients(self) -> None:
        while not self.stopping.is_set():
            self.reconnect(lambda _: self.universe[:_SLOW_SYMBOLS], receive_buffer=_SMALL_BUFFER)
            self.stopping.wait(SLOW_EVERY)
            for client in self.clients:
                with contextlib.suppress(
                    OSError
                ):  # the service has closed it: reconnected in the next round
                    client.pong()
                    client.read(_SLOW_BYTES)


class HalfOpenConsumers(FaultyClients):
    """Clients that read nothing and answer no ping, like peers behind a link that keeps failing."""

    def run_clients(self) -> None:
        while not self.stopping.wait(_RECONNECT_EVERY):
            self.reconnect(lambda number: self.universe[number % len(self.universe) :][:1])


class SubscribeStorm(FaultyClients):
    """Clients that connect, subscribe and unsubscribe at once, ``number`` subscriptions per second."""

    def run_clients(self) -> None:
        self._began, self._asked = time.monotonic(), 0
        while not self.stopping.is_set():
            with contextlib.suppress(OSError):  # the service has closed it: the next client follows
                self._visit(self.add_client(()))
            for client in list(self.clients):
                self.remove(client)
            self.stopping.wait(max(_PAUSE, self._early()))

    def _visit(self, client: Client) -> None:
        for start in itertools.islice(itertools.cycle(self._starts()), _STORM_ROUNDS):
            symbols = self.universe[start : start + _STORM_BATCH]
            self._asked += len(symbols)
            client.request("subscribe", symbols)
            client.request("unsubscribe", symbols)
            if self.stopping.wait(self._early()):
                return
            client.read(1 << 20)

    def _early(self) -> float:
        """Seconds until more subscriptions are due."""
        return max(0.0, self._asked / self.number - (time.monotonic() - self._began))

    def _starts(self) -> range:
        return range(0, len(self.universe), _STORM_BATCH)
