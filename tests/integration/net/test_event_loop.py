"""The loop's timers are precise to the microsecond, and sockets still wake it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

from qcfeed.net.event_loop import PreciseSelector, new_event_loop


def run(main: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())  # type: ignore[arg-type]


def test_epoll_itself_is_never_given_a_timeout() -> None:
    """It would be rounded up to a millisecond."""
    waits: list[float | None] = []
    selector = PreciseSelector()
    epoll = selector._selector  # type: ignore[attr-defined]

    class Spy:
        fileno = epoll.fileno

        def poll(self, timeout: float, most: int) -> object:
            waits.append(timeout)
            return epoll.poll(timeout, most)

    selector._selector = Spy()  # type: ignore[attr-defined]
    began = time.monotonic()
    assert selector.select(0.0004) == []
    assert time.monotonic() - began >= 0.0004
    assert selector.select(0) == []
    assert waits == [0, 0]
    epoll.close()


def test_a_ready_descriptor_ends_the_wait() -> None:
    async def main() -> None:
        loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            reading = asyncio.ensure_future(loop.sock_recv(ours, 10))
            waiting = loop.call_later(3_600, reading.cancel)
            await asyncio.to_thread(theirs.send, b"x")
            assert await reading == b"x"
            waiting.cancel()

    run(main)


def test_timers_fire_in_order_and_never_early() -> None:
    async def main() -> None:
        loop, came = asyncio.get_running_loop(), []
        done = loop.create_future()
        start = loop.time()
        for delay in (0.0021, 0.0004, 0.0012):
            loop.call_at(start + delay, lambda delay=delay: came.append((delay, loop.time())))
        loop.call_at(start + 0.003, done.set_result, None)
        await done
        assert [delay for delay, _ in came] == [0.0004, 0.0012, 0.0021]
        assert all(at >= start + delay for delay, at in came)

    run(main)
