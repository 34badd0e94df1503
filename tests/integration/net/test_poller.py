"""The poller calls exactly the owners of ready descriptors, on real descriptors."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcfeed.net import poller as pollers
from qcfeed.net.poller import READ, WRITE, Poller
from tests.support.running_service import until


class Watching:
    """Records its calls, and reads what is available."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.events: list[int] = []
        self.ended: list[Exception | None] = []

    @property
    def fd(self) -> int:
        return self.ours.fileno()

    def ready(self, events: int) -> None:
        self.events.append(events)
        if events & READ:
            self.ours.recv(1_000)

    def end(self, error: Exception | None) -> None:
        self.ended.append(error)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class Broken(Watching):
    def ready(self, events: int) -> None:
        super().ready(events)
        raise ArithmeticError("ready")

    def end(self, error: Exception | None) -> None:
        raise ArithmeticError("end")


def open_files() -> int:
    gc.collect()  # or what other tests have left is closed in between
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def some() -> Iterator[list[Watching]]:
    made = [Watching() for _ in range(5)]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
async def poller(complaints: list[str]) -> Any:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, about: complaints.append(str(about["exception"])))
    poller = Poller(loop)
    yield poller
    poller.close_when_idle()


async def test_events_beyond_the_maximum_are_handled_in_the_next_turn(
    poller: Poller, some: list[Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pollers, "MAX_EVENTS", 2)
    for each in some:
        poller.watch(each.fd, READ, each)
        each.theirs.send(b"x")
    await until(lambda: all(each.events for each in some), "all are called")
    assert [each.events for each in some] == [[READ]] * 5
    for each in some:
        poller.unwatch(each.fd)


async def test_the_events_of_a_descriptor_can_change(poller: Poller, some: list[Watching]) -> None:
    one = some[0]
    poller.watch(one.fd, READ, one)
    poller.watch(one.fd, READ | WRITE, one)
    await until(lambda: one.events, "it can be written to")
    assert one.events[0] == WRITE
    poller.watch(one.fd, 0, one)
    one.events.clear()
    one.theirs.send(b"x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert one.events == []
    poller.watch(one.fd, READ, one)
    await until(lambda: one.events, "it is read again")
    poller.unwatch(one.fd)


async def test_an_unwatched_descriptor_is_not_called_even_if_a_forked_child_keeps_it_open(
    poller: Poller, some: list[Watching]
) -> None:
    one, other = some[:2]
    poller.watch(one.fd, READ, one)
    kept = os.dup(one.fd)  # like a descriptor that a forked child has inherited
    try:
        poller.unwatch(one.fd)
        one.ours.close()
        one.theirs.send(b"x")
        poller.watch(other.fd, READ, other)
        other.theirs.send(b"x")
        await until(lambda: other.events, "the other is called")
        assert one.events == []
    finally:
        os.close(kept)
    poller.unwatch(other.fd)


async def test_ends_run_after_the_current_events_and_a_failing_one_does_not_stop_the_others(
    poller: Poller, some: list[Watching], complaints: list[str]
) -> None:
    broken, error = Broken(), ConnectionResetError()
    poller.end_soon(broken, None)
    poller.end_soon(some[0], error)
    assert some[0].ended == []
    await until(lambda: some[0].ended, "it is ended")
    assert (some[0].ended, complaints) == ([error], ["end"])
    broken.close()


async def test_a_failing_callback_does_not_stop_the_others(
    poller: Poller, some: list[Watching], complaints: list[str]
) -> None:
    broken = Broken()
    for each in (broken, *some):
        poller.watch(each.fd, READ, each)
        each.theirs.send(b"x")
    await until(lambda: all(each.events for each in some), "the others are called")
    assert complaints == ["ready"]
    for each in (broken, *some):
        poller.unwatch(each.fd)
    broken.close()


async def test_the_poller_closes_after_the_last_descriptor(some: list[Watching]) -> None:
    one, loop = some[0], asyncio.get_running_loop()
    descriptors = open_files()
    poller = Poller(loop)
    poller.watch(one.fd, READ, one)
    poller.close_when_idle()
    one.theirs.send(b"x")
    await until(lambda: one.events, "it is still called")
    poller.unwatch(one.fd)
    assert open_files() == descriptors


async def test_an_idle_descriptor_can_be_watched_again_while_the_poller_is_closing(
    some: list[Watching],
) -> None:
    """aiohttp's protocol pauses reading while a body is not consumed, also during a drain."""
    descriptors = open_files()
    one, poller = some[0], Poller(asyncio.get_running_loop())
    poller.watch(one.fd, READ, one)
    poller.watch(one.fd, 0, one)
    poller.close_when_idle()
    one.theirs.send(b"x")
    poller.watch(one.fd, READ, one)
    await until(lambda: one.events, "it is called")
    poller.watch(one.fd, 0, one)
    poller.unwatch(one.fd)
    assert open_files() == descriptors


async def test_an_idle_descriptor_is_not_called_even_if_its_peer_hangs_up(
    poller: Poller, some: list[Watching]
) -> None:
    """The kernel reports a hangup with any event mask, as long as the descriptor is registered."""
    one, other = some[:2]
    poller.watch(one.fd, READ, one)
    poller.watch(one.fd, 0, one)
    one.theirs.close()
    poller.watch(other.fd, READ, other)
    other.theirs.send(b"x")
    await until(lambda: other.events, "the other is called")
    assert one.events == []
    poller.watch(one.fd, READ, one)
    await until(lambda: one.events, "it is told when it is watched again")
    poller.unwatch(one.fd)
    poller.unwatch(other.fd)
