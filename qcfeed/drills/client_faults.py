"""Clients that read slowly, clients that are gone without a word, and clients that storm."""

from __future__ import annotations

import contextlib
import itertools
import time

from qcfeed.drills.clients import Client, FaultyClients

_SLOW_SYMBOLS = 100
_SLOW_BYTES, _SLOW_EVERY = 32_768, 4.0
"""Read at once, and the seconds from one time to the next. A window that opens by less than the kernel's next
segment does not count as open: after --stall-timeout the kernel gives up, and the client has to come anew."""
_SMALL_BUFFER = 32_768
_RECONNECT_EVERY = 0.25
"""Seconds between two looks at who was ended."""
_STORM_BATCH = 100
_PAUSE = 0.05
"""Seconds between two storming clients at least: a service that refuses them is not asked in a tight loop."""
_STORM_ROUNDS = 10
"""Requests of one storming client before it leaves without a word and comes back."""


class SlowConsumers(FaultyClients):
    """They live, hold many symbols and read a little at a time; when they are told to go, they go."""

    def run_clients(self) -> None:
        while not self.stopping.is_set():
            self.reconnect(lambda _: self.universe[:_SLOW_SYMBOLS], receive_buffer=_SMALL_BUFFER)
            self.stopping.wait(_SLOW_EVERY)
            for client in self.clients:
                with contextlib.suppress(OSError):  # the service has ended it: seen at once
                    client.pong()
                    client.read(_SLOW_BYTES)


class HalfOpenConsumers(FaultyClients):
    """They take nothing and answer no ping, as peers behind a link that dies again and again."""

    def run_clients(self) -> None:
        while not self.stopping.wait(_RECONNECT_EVERY):
            self.reconnect(lambda number: self.universe[number % len(self.universe) :][:1])


class SubscribeStorm(FaultyClients):
    """So many subscriptions a second, given back at once, by clients that come and go."""

    def run_clients(self) -> None:
        self._began, self._asked = time.monotonic(), 0
        while not self.stopping.is_set():
            with contextlib.suppress(OSError):  # the service has ended it: another comes
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
        """Seconds until it is time for more."""
        return max(0.0, self._asked / self.number - (time.monotonic() - self._began))

    def _starts(self) -> range:
        return range(0, len(self.universe), _STORM_BATCH)
