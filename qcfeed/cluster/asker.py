"""Sends a request to all instances on NATS: first a roll call, then the request, and waits for all that are known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, TypeVar

from qcfeed.cluster.connection import NatsConnection, connect
from qcfeed.cluster.core import operations
from qcfeed.cluster.core.operations import AnswerCollector, ClusterRequest, InvalidAnswerError
from qcfeed.config import NatsConfig

Result = TypeVar("Result")

QUIET = 0.5
"""Seconds without a further answer after which the roll call ends."""
ACTION_GRACE = 4.0
"""Seconds to wait beyond an action's own timeout."""
FEEDERS = "feeders"
"""The name under which the answer reports that no feeder answered."""


class Gathered(NamedTuple):
    """``answers``: status and JSON by instance. ``silent``: those that did not answer, and why."""

    answers: dict[str, tuple[int, bytes]]
    silent: dict[str, str]


def _last_heard(seconds: float | None) -> str:
    return "it" if seconds is None else f"it was there {seconds:.0f} s ago, and"


class Asker:
    """Asks the instances on these servers. Each call has a connection of its own, and ends in time."""

    def __init__(self, urls: Sequence[str], config: NatsConfig, timeout: float) -> None:
        self._urls = urls
        self._config = config
        self._timeout = timeout
        self._given_up: set[str] = set()
        """Instances that did not answer within the timeout once: later requests do not wait for them."""

    def ask(self, request: ClusterRequest) -> Gathered:
        """Ask every instance. Raises UpstreamError if NATS cannot be reached."""
        return asyncio.run(self._connected(lambda connection: self._ask(connection, request)))

    def act(self, member: str, request: ClusterRequest) -> Gathered:
        """Request an action of one instance. Raises UpstreamError if NATS cannot be reached."""

        async def act(connection: NatsConnection) -> Gathered:
            subject = operations.act_subject(member)
            found, refused = await self._gather(
                connection, subject, request, self._timeout + ACTION_GRACE, expected={member}
            )
            if found.complete:
                return Gathered(found.complete, {})
            return Gathered({}, {member: f"{refused}: was it started with --nats-operators act?"})

        return asyncio.run(self._connected(act))

    async def _connected(self, use: Callable[[NatsConnection], Awaitable[Result]]) -> Result:
        connection = await connect(self._urls, self._config, "qcfeed --cluster")
        try:
            return await use(connection)
        finally:
            await connection.close()

    async def _ask(self, connection: NatsConnection, request: ClusterRequest) -> Gathered:
        there, refused = await self._gather(
            connection, operations.ASK, ClusterRequest(), self._timeout
        )
        expected = (there.complete.keys() | there.heard.keys()) - self._given_up
        found, _ = await self._gather(
            connection, operations.ASK, request, self._timeout, expected=expected
        )
        heard = there.heard | found.heard
        silent = {
            member: f"{_last_heard(heard.get(member))} did not answer within {self._timeout:g} s"
            for member in sorted((expected | heard.keys() | self._given_up) - found.complete.keys())
        }
        self._given_up |= silent.keys()
        if not found.complete and not silent:
            silent["nobody"] = refused
        elif not heard:
            silent[FEEDERS] = "none answered, and only feeders know which instances there should be"
        return Gathered(found.complete, silent)

    async def _gather(
        self,
        connection: NatsConnection,
        subject: str,
        request: ClusterRequest,
        timeout: float,
        *,
        expected: Collection[str] | None = None,
    ) -> tuple[AnswerCollector, str]:
        """The answers within ``timeout``, and why there was none, as far as NATS reports it.

        Ends early when all of ``expected`` have answered; without ``expected``, when no more answers come.
        """
        found = AnswerCollector()
        news = asyncio.Event()
        problem = "no instance answers there"

        def receive(_: str, __: str, data: bytes, no_responders: bool) -> None:
            nonlocal problem
            if no_responders:
                problem = "no instance listens there"
            with contextlib.suppress(InvalidAnswerError):
                found.add(data)
            news.set()

        inbox = connection.new_inbox()
        subscription = await connection.listen(inbox, receive)
        await connection.publish(subject, operations.encode(request), inbox)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while expected is None or not found.complete.keys() >= set(expected):
                    news.clear()
                    if expected is None:
                        await asyncio.wait_for(news.wait(), QUIET)
                    else:
                        await news.wait()
        with contextlib.suppress(Exception):
            await subscription.unsubscribe()
        return found, connection.errors[-1] if connection.errors else problem
