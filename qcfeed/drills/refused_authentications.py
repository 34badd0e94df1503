"""The drill in which a client presents a wrong API key again and again."""

from __future__ import annotations

import contextlib

from qcfeed.access import keys
from qcfeed.config import Config
from qcfeed.drills.base import DrillEnvironment
from qcfeed.drills.clients import Client, FaultyClients
from qcfeed.server.authentication import Authenticator


class RefusedAuthentications(FaultyClients):
    """Presents ``number`` wrong keys per second. In a service without authentication, keys that are presented
    are checked meanwhile; clients that present none are served as before."""

    def __init__(self, environment: DrillEnvironment, number: float) -> None:
        super().__init__(environment, number)
        self._gateway = environment.gateway
        self._installed = environment.gateway.authenticator is None

    def start(self) -> None:
        if self._installed:
            self._gateway.authenticate_with(Authenticator(Config()), demanded=False)
        super().start()

    async def stop(self) -> None:
        await super().stop()
        if self._installed:
            self._gateway.authenticate_with(None)

    def run_clients(self) -> None:
        while not self.stopping.wait(1 / self.number):
            with contextlib.suppress(OSError):  # it is refused: that is the drill
                Client(self.address, token=keys.generate()).reset()
