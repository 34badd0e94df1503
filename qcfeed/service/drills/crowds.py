"""Clients that read slowly, clients that are gone without a word, and clients that storm."""

from __future__ import annotations

import itertools
import time

from qcfeed.service.drills.crowd import Client, Crowd

_SLOW_SYMBOLS = 100
_SLOW_BYTES, _SLOW_EVERY = 512, 0.25
_SMALL_BUFFER = 4_096
_STORM_BATCH = 100
_STORM_ROUNDS = 10
"""Requests of one storming client before it leaves without a word and comes back."""


class SlowConsumers(Crowd):
    """They hold many symbols and read a little at a time; when they are told to go, they go."""

    def act(self) -> None:
        for _ in range(self.number):
            self.come(self.universe[:_SLOW_SYMBOLS], receive_buffer=_SMALL_BUFFER)
        while not self.leaving.wait(_SLOW_EVERY):
            for client in list(self.clients):
                self._read(client)

    def _read(self, client: Client) -> None:
        try:
            client.take(_SLOW_BYTES)
        except OSError:  # the service has ended it
            self.go(client)


class HalfOpenConsumers(Crowd):
    """They take nothing and answer no ping, as a peer behind a dead link."""

    def act(self) -> None:
        for number in range(self.number):
            self.come(self.universe[number % len(self.universe) :][:1])
        self.leaving.wait()


class SubscribeStorm(Crowd):
    """So many subscriptions a second, given back at once, by clients that come and go."""

    def act(self) -> None:
        began, asked = time.monotonic(), 0
        while not self.leaving.is_set():
            client = self.come(())
            for start in itertools.islice(itertools.cycle(self._starts()), _STORM_ROUNDS):
                symbols = self.universe[start : start + _STORM_BATCH]
                client.say("subscribe", symbols)
                client.say("unsubscribe", symbols)
                asked += len(symbols)
                early = asked / self.number - (time.monotonic() - began)
                if self.leaving.wait(max(0.0, early)):
                    return
                client.take(1 << 20)
            self.go(client)

    def _starts(self) -> range:
        return range(0, len(self.universe), _STORM_BATCH)
