"""What explains that a task lives for long: each explanation in a real loop, and its counterpart."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from qcfeed.diagnostics import demand
from qcfeed.diagnostics.demand import LONG_S, Reason, ReasonKind
from qcfeed.diagnostics.ledger import Ledger, owned_by
from tests.support.patience import PATIENCE
from tests.unit.diagnostics.conftest import Subscriber


async def forever() -> None:
    await asyncio.Event().wait()


async def sleep_once(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def sleep_for_ever(seconds: float) -> None:
    while True:  # noqa: ASYNC110
        await asyncio.sleep(seconds)


async def retry(seconds: float) -> None:
    for _ in range(5):
        await asyncio.sleep(seconds)


async def call_itself(seconds: float, depth: int) -> None:
    if depth > 1:
        await call_itself(seconds, depth - 1)
    await asyncio.sleep(seconds)


async def within(seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await forever()


async def again_within(seconds: float) -> None:
    while True:
        try:
            async with asyncio.timeout(seconds):
                await forever()
        except TimeoutError:
            continue


async def wait_for(seconds: float) -> None:
    await asyncio.wait_for(asyncio.Event().wait(), seconds)


Start = Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def reasons(ledger: Ledger, *starts: Start) -> AsyncIterator[list[Reason | None]]:
    tasks = [asyncio.create_task(start()) for start in starts]
    for _ in range(5):
        await asyncio.sleep(0)
    records = [ledger.record_of(task) for task in tasks]
    yield demand.reasons(record for record in records if record is not None)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (lambda: sleep_once(60), ReasonKind.TIMER),
        (lambda: sleep_once(2 * LONG_S), ReasonKind.LONG_TIMER),
        (lambda: retry(60), ReasonKind.TIMER),
        (lambda: retry(0.3 * LONG_S), ReasonKind.LONG_TIMER),
        (lambda: call_itself(60, 2), ReasonKind.TIMER),
        (lambda: within(60), ReasonKind.TIMER),
        (lambda: wait_for(60), ReasonKind.TIMER),
        (lambda: sleep_for_ever(60), None),
        (lambda: call_itself(60, 3), None),
        (lambda: again_within(60), None),
        (forever, None),
    ],
)
async def test_a_timer_explains_only_what_ends_with_it(
    ledger: Ledger, start: Start, kind: ReasonKind | None
) -> None:
    async with reasons(ledger, start) as (found,):
        assert (found and found.kind) == kind
        if found is not None:
            assert found.ends_in_s is not None
            assert 0 < found.ends_in_s <= 2 * LONG_S


async def test_the_rounds_that_are_left_count_to_the_time_until_a_task_ends(ledger: Ledger) -> None:
    async with reasons(ledger, lambda: retry(60)) as (found,):
        assert found is not None
        assert found.ends_in_s == pytest.approx(5 * 60, abs=PATIENCE)


async def test_an_open_owner_explains_its_own_task(ledger: Ledger, subscriber: Subscriber) -> None:
    with owned_by(subscriber):
        async with reasons(ledger, forever) as (found,):
            assert found is not None
            assert found.kind is ReasonKind.OWNER
        subscriber.closed = True
        async with reasons(ledger, forever) as (gone,):
            assert gone is None


async def test_one_owner_does_not_explain_many_tasks(
    ledger: Ledger, subscriber: Subscriber
) -> None:
    with owned_by(subscriber):
        async with reasons(ledger, *[forever] * 10) as found:
            assert found == [None] * 10


async def test_an_open_connection_of_its_own_explains_a_task(ledger: Ledger) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=near)

        async def serve() -> None:
            await reader.read()
            writer.close()

        async with reasons(ledger, serve) as (found,):
            assert found is not None
            assert found.kind is ReasonKind.CONNECTION
        far.close()
        async with reasons(ledger, lambda: hold(writer)) as (gone,):
            assert gone is None
        writer.close()


async def hold(writer: asyncio.StreamWriter) -> None:
    await forever()
    writer.close()


async def test_one_connection_does_not_explain_many_tasks(ledger: Ledger) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        _, writer = await asyncio.open_connection(sock=near)
        async with reasons(ledger, *[lambda: hold(writer)] * 10) as found:
            assert found == [None] * 10
        writer.close()


async def test_connections_that_the_program_opened_do_not_explain_growth(ledger: Ledger) -> None:
    served: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())  # type: ignore[arg-type]
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    opened = [await asyncio.open_connection(*server.sockets[0].getsockname()) for _ in range(5)]
    starts = [functools.partial(hold, writer) for _, writer in opened]
    async with reasons(ledger, *starts) as found:
        assert [each and each.kind for each in found] == [ReasonKind.OPENED] * 5
        records = [ledger.record_of(task) for task in served]
        accepted = demand.reasons(record for record in records if record is not None)
        assert demand.serving(served) == 5
        assert demand.serving([*served, None]) == 5
        assert [each and each.kind for each in accepted] == [ReasonKind.CONNECTION] * 5
    for _, writer in opened:
        writer.close()
        await writer.wait_closed()
    await asyncio.wait(served)
    server.close()
    await server.wait_closed()


async def test_a_timer_explains_a_task_whose_owner_has_many(
    ledger: Ledger, subscriber: Subscriber
) -> None:
    with owned_by(subscriber):
        async with reasons(ledger, *[lambda: sleep_once(60)] * 10) as found:
            assert [each and each.kind for each in found] == [ReasonKind.TIMER] * 10


@asynccontextmanager
async def connected(number: int) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """The near ends of so many open connections."""
    with contextlib.ExitStack() as far_ends:
        writers = []
        for _ in range(number):
            near, far = socket.socketpair()
            far_ends.enter_context(far)
            near.setblocking(False)
            writers.append((await asyncio.open_connection(sock=near))[1])
        yield writers
        for writer in writers:
            writer.close()


async def hold_both(own: asyncio.StreamWriter, shared: asyncio.StreamWriter) -> None:
    await forever()
    own.close()
    shared.close()


async def test_a_connection_of_its_own_counts_beside_one_that_all_share(ledger: Ledger) -> None:
    async with connected(11) as (shared, *own):
        starts = [functools.partial(hold_both, each, shared) for each in own]
        async with reasons(ledger, *starts) as found:
            assert [each and each.kind for each in found] == [ReasonKind.CONNECTION] * 10


async def test_a_sample_shows_that_many_tasks_share_a_pool_of_connections(ledger: Ledger) -> None:
    """Of 20 tasks, two have each of 10 connections: few in all 20, but a hundred of a thousand."""
    async with connected(10) as pool:
        starts = [functools.partial(hold, each) for each in (*pool, *pool)]
        async with reasons(ledger, *starts) as found:
            assert [each and each.kind for each in found] == [ReasonKind.CONNECTION] * 20
        tasks = [asyncio.create_task(start()) for start in starts]
        await asyncio.sleep(0)
        records = [record for task in tasks if (record := ledger.record_of(task)) is not None]
        assert demand.reasons(records, total=1_000) == [None] * 20
        assert demand.serving(tasks, total=1_000) == 0
        assert demand.serving(tasks) == 20
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def test_the_most_frequent_reason_has_the_longest_time() -> None:
    found = [
        Reason(ReasonKind.TIMER, 3.0),
        None,
        Reason(ReasonKind.CONNECTION),
        Reason(ReasonKind.TIMER, 9.0),
    ]
    assert demand.most_frequent(found) == Reason(ReasonKind.TIMER, 9.0)
    assert demand.most_frequent([None, Reason(ReasonKind.OWNER)]) == Reason(ReasonKind.OWNER)
    assert demand.most_frequent([None]) is None


class Owner:
    """One of the program's own."""

    closed = False


@pytest.mark.parametrize(
    ("owners", "total", "explained"),
    [
        pytest.param([2] * 5, 10, 10, id="these are all tasks, two for each owner"),
        pytest.param([2] * 5, 11, 0, id="of more tasks, more than two have each owner"),
        pytest.param([2, 2, *[1] * 6], 23, 10, id="few pairs in a sample of some"),
        pytest.param([2, 2, *[1] * 6], 24, 0, id="few pairs in a sample of more"),
        pytest.param([2, *[1] * 8], 10_000, 10, id="a single pair may be chance"),
        pytest.param([3, *[1] * 7], 10, 7, id="three tasks of one owner only share it"),
    ],
)
async def test_a_sample_tells_how_many_tasks_have_each_owner(
    ledger: Ledger, owners: list[int], total: int, explained: int
) -> None:
    tasks, kept = [], []
    for number in owners:
        kept.append(Owner())
        with owned_by(kept[-1]):
            tasks += [asyncio.create_task(forever()) for _ in range(number)]
    await asyncio.sleep(0)
    records = [record for task in tasks if (record := ledger.record_of(task)) is not None]
    found = demand.reasons(records, total)
    assert [each for each in found if each is not None and each.kind is not ReasonKind.OWNER] == []
    assert len(found) - found.count(None) == explained
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize(
    ("servers", "kind"),
    [
        ([3], ReasonKind.CONNECTION),
        ([4], ReasonKind.OPENED),
        ([2, 2], ReasonKind.OPENED),
        ([2, 1, 1], ReasonKind.CONNECTION),
    ],
    ids=["three to one peer", "four to one peer", "four to two peers", "four to three peers"],
)
async def test_connections_that_go_to_few_peers_were_opened_by_the_program(
    ledger: Ledger, servers: list[int], kind: ReasonKind
) -> None:
    with contextlib.ExitStack() as ends:
        starts, writers = [], []
        for number in servers:
            listener = ends.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(number):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                ends.enter_context(listener.accept()[0])
                writers.append(writer)
                starts.append(functools.partial(hold, writer))
        async with reasons(ledger, *starts) as found:
            assert [each and each.kind for each in found] == [kind] * len(starts)
            assert all(each is not None and each.peer for each in found)
        for writer in writers:
            writer.close()
            await writer.wait_closed()


async def test_a_timer_of_fifteen_minutes_is_no_long_one_and_says_when_it_ends(
    ledger: Ledger,
) -> None:
    assert LONG_S == 900.0
    async with reasons(ledger, lambda: sleep_once(900), lambda: sleep_once(2_000)) as (one, long):
        assert one is not None
        assert long is not None
        assert (one.kind, long.kind) == (ReasonKind.TIMER, ReasonKind.LONG_TIMER)
        assert one.ends_in_s is not None
        assert 900.0 - PATIENCE < one.ends_in_s <= 900.0


async def test_of_several_timers_the_first_ends_a_task(ledger: Ledger) -> None:
    async def sleeps_within() -> None:
        async with asyncio.timeout(500):
            await asyncio.sleep(2_000)

    async def sleeps_less() -> None:
        async with asyncio.timeout(2_000):
            await asyncio.sleep(500)

    async with reasons(ledger, sleeps_within, sleeps_less) as found:
        for each in found:
            assert each is not None
            assert each.kind is ReasonKind.TIMER
            assert each.ends_in_s is not None
            assert 500.0 - PATIENCE < each.ends_in_s <= 500.0
