"""Answers ``qcfeed --cluster`` on NATS, in the control plane's thread, so also while the service's loop is stuck.

It has a connection of its own, because a gateway without feeds has none. Only a few paths are answered,
and actions only if the service was started with ``--nats-operators act``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Sequence

import msgspec

from qcfeed.cluster.connection import NatsConnection, connect
from qcfeed.cluster.core import operations
from qcfeed.cluster.core.operations import ClusterRequest, Roster
from qcfeed.config import NatsConfig
from qcfeed.control import routes
from qcfeed.control.audit import Caller
from qcfeed.control.companion import Answer
from qcfeed.errors import NotAllowedError, QcfeedError
from qcfeed.feed import backoff
from qcfeed.model.answer import ErrorAnswer
from qcfeed.model.json_errors import JSON_ERRORS

log = logging.getLogger("qcfeed.operations")

READS = frozenset(
    (
        routes.STATUS,
        routes.FEEDS,
        routes.SUBSCRIBERS,
        routes.TASKS_BY_LOCATION,
        routes.ORPHANS,
        routes.CLUSTER_VIEW,
    )
)
ACTIONS = frozenset((routes.REAP, routes.CLUSTER_REAP))
HERE_EVERY = 10.0
"""Seconds between two announcements of this instance."""
_AT_ONCE = 2
"""Requests that are answered at the same time."""
_WAITING = 16
"""Requests that may wait; further ones are dropped, and their callers time out."""
_MAX_PAUSE = 5.0
_CALLER = Caller("nats")


class Responder:
    """One instance's side. ``remembers``: it keeps the roster of all instances, as feeders do."""

    def __init__(
        self, urls: Sequence[str], config: NatsConfig, instance: str, *, remembers: bool
    ) -> None:
        self.member = f"{instance}@{socket.gethostname()}"
        self._urls = list(urls)
        self._config = config
        self._roster = Roster() if remembers else None
        self._requests: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue(_WAITING)

    async def run(self, answer: Answer) -> None:
        """Answer until cancelled. ``answer``: the control plane's."""
        attempt, problem = 0, ""
        while True:
            try:
                connection = await connect(self._urls, self._config, f"qcfeed {self.member}")
            except QcfeedError as error:
                if error.message != problem:
                    log.warning(
                        "`qcfeed --cluster` gets no answer from this instance: %s", error.message
                    )
                problem = error.message
            else:
                attempt, problem = 0, ""
                try:
                    await self._serve(connection, answer)
                except QcfeedError as error:
                    log.debug("%s", error.message)
                finally:
                    await self._leave(connection)
            self._urls.append(self._urls.pop(0))
            # Full jitter may be almost 0, so 0.1 s are added: the loop must not spin.
            await asyncio.sleep(backoff.delay(attempt, random.random(), cap=_MAX_PAUSE) + 0.1)
            attempt += 1

    async def _serve(self, connection: NatsConnection, answer: Answer) -> None:
        """Answer on this connection until it is lost. Raises UpstreamError."""
        await connection.listen(operations.ASK, self._enqueue)
        if self._config.nats_operators == "act":
            await connection.listen(operations.act_subject(self.member), self._enqueue)
        if self._roster is not None:
            await connection.listen(operations.HERE, self._remember)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._announce(connection), name="cluster presence")
                for _ in range(_AT_ONCE):
                    tasks.create_task(self._work(connection, answer), name="cluster answers")
                await connection.wait_lost()
                raise connection.loss()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _leave(self, connection: NatsConnection) -> None:
        with contextlib.suppress(QcfeedError):
            ends = operations.encode(operations.Here(self.member, ends=True))
            await connection.publish(operations.HERE, ends)
        await connection.close()

    async def _announce(self, connection: NatsConnection) -> None:
        here = operations.encode(operations.Here(self.member))
        while True:
            await connection.publish(operations.HERE, here)
            await asyncio.sleep(HERE_EVERY)

    def _enqueue(self, subject: str, reply: str, data: bytes, _: bool) -> None:
        if reply:
            with contextlib.suppress(asyncio.QueueFull):
                self._requests.put_nowait((subject, reply, data))

    def _remember(self, _: str, __: str, data: bytes, ___: bool) -> None:
        if self._roster is not None:
            with contextlib.suppress(*JSON_ERRORS):
                self._roster.hear(operations.decode_here(data), time.monotonic())

    async def _work(self, connection: NatsConnection, answer: Answer) -> None:
        while True:
            subject, reply, data = await self._requests.get()
            try:
                request = operations.decode_request(data)
            except JSON_ERRORS:
                continue
            status, content = await self._answer(subject, request, answer)
            heard = None if self._roster is None else self._roster.heard(time.monotonic())
            for part in operations.parts(self.member, status, content, heard):
                await connection.publish(reply, part)

    async def _answer(
        self, subject: str, request: ClusterRequest, answer: Answer
    ) -> tuple[int, bytes]:
        if not request.path:
            return 200, b""
        if subject == operations.ASK and request.path in READS:
            return await answer("GET", request.path, request.params, b"", _CALLER)
        if subject != operations.ASK and request.path in ACTIONS:
            return await answer("POST", request.path, {}, bytes(request.body), _CALLER)
        refused = ErrorAnswer(
            code=NotAllowedError.code, message=f"{request.path} is not answered over NATS"
        )
        return 403, msgspec.json.encode(refused)
