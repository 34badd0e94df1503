from __future__ import annotations

import asyncio
import itertools
from typing import Any, cast

from qcfeed.cluster.connection import NatsConnection
from qcfeed.cluster.core.lease import Lease, Stored
from qcfeed.cluster.publisher import MAX_QUEUED, Outbox


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def owner(clock: Clock) -> Lease:
    names = itertools.count()
    lease = Lease("me", 10.0, clock(), lambda: str(next(names)))
    lease.answered(lease.request(clock()), Stored(7), clock())
    return lease


class Recording:
    """A connection that keeps what is published. ``then`` is called after each message."""

    def __init__(self, then: Any = lambda: None) -> None:
        self.published: list[str] = []
        self._then = then

    async def publish(self, subject: str, _: bytes) -> None:
        self.published.append(subject)
        self._then()


async def send(outbox: Outbox, connection: Recording) -> None:
    """Let the outbox send what it has."""
    task = asyncio.create_task(outbox.send(cast("NatsConnection", connection)))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def test_what_waits_is_sent_in_order_while_the_lease_is_held() -> None:
    clock = Clock()
    lease = owner(clock)
    outbox, connection = Outbox(lambda: lease, clock), Recording()
    for subject in "abc":
        outbox.put(subject, b"")
    await send(outbox, connection)
    assert connection.published == ["a", "b", "c"]
    assert (outbox.published, outbox.fenced) == (3, 0)


async def test_a_process_that_is_stopped_between_two_quotes_sends_no_further_one() -> None:
    clock = Clock()
    lease = owner(clock)

    def stopped_for_an_hour() -> None:
        clock.now += 3_600

    outbox, connection = Outbox(lambda: lease, clock), Recording(stopped_for_an_hour)
    for subject in "abc":
        outbox.put(subject, b"")
    await send(outbox, connection)
    assert connection.published == ["a"]
    assert outbox.fenced == 2


async def test_the_oldest_messages_are_dropped_and_counted_when_too_many_wait() -> None:
    clock = Clock()
    lease = owner(clock)
    outbox, connection = Outbox(lambda: lease, clock), Recording()
    for number in range(MAX_QUEUED + 2):
        outbox.put(str(number), b"")
    await send(outbox, connection)
    assert outbox.dropped == 2
    assert connection.published[0] == "2"
