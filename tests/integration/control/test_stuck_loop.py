"""The control plane answers while the watched loop does not turn."""

from __future__ import annotations

import asyncio
import re
import threading
import time

import msgspec
import pytest

from qcfeed.control.routes import REAP, STACKS, TASKS_BY_LOCATION, ActionRoute, NoQuery
from qcfeed.errors import TimedOutError, UnreachableError
from qcfeed.model.answer import Answer
from qcfeed.model.orphans import Reaped, ReapRequest
from qcfeed.model.stacks import Stacks
from qcfeed.model.tasks import TasksByLocation
from tests.support.patience import PATIENCE


def test_a_loop_that_does_not_turn(serve, watched):
    plane = serve(action_grace=0.5)
    client = plane.client()
    watched.block()

    with pytest.raises(TimedOutError, match="stuck for") as raised:
        client.post(REAP, ReapRequest(), Reaped)
    stuck_s = float(re.search(r"stuck for ([\d.]+) s", raised.value.message)[1])
    assert 0.4 <= stuck_s < PATIENCE
    assert "stuck_in_a_callback" in "".join(raised.value.__notes__)

    def asked(condition):
        """An answer that is so, as soon as there is one."""
        deadline = time.monotonic() + PATIENCE
        while not condition(answer := client.get(TASKS_BY_LOCATION, TasksByLocation)):
            assert time.monotonic() < deadline, answer.loop_stall_ms
        return answer

    stuck = asked(lambda answer: answer.loop_stall_ms > 1000)
    assert "stuck_in_a_callback" in "".join(stuck.loop_stack)

    watched.release()
    watched.call(lambda: None)
    healthy = asked(lambda answer: answer.loop_stall_ms < 1000)
    assert healthy.loop_stack is msgspec.UNSET


def test_an_action_that_was_given_up_never_begins(serve, watched):
    began = []

    async def handle(_):
        began.append(True)
        return Answer()

    plane = serve(routes=[ActionRoute("/act", "act", NoQuery, handle)], action_grace=0.1)
    watched.block()
    with pytest.raises(TimedOutError, match="act was not begun"):
        plane.client().post("/act", NoQuery(), Answer)
    watched.release()
    watched.call(lambda: None)
    assert began == []
    assert [line["event"] for line in plane.lines()] == ["intent", "outcome"]
    assert plane.lines()[-1]["outcome"] == "not_begun"


def test_reads_are_answered_when_the_loop_is_closed(serve, watched):
    plane = serve()
    watched.close()
    assert plane.client().get(TASKS_BY_LOCATION, TasksByLocation).totals.live == 0
    with pytest.raises(UnreachableError, match="stopped"):
        plane.client().post(REAP, ReapRequest(), Reaped)
    assert plane.lines()[-1]["outcome"] == "not_begun"


def test_the_control_plane_does_not_hold_up_the_watched_loop(serve, watched):
    """What twenty readers ask for is not worked out by its thread, whatever the processor's load."""
    client = serve().client()

    async def sleepers():
        return [asyncio.create_task(asyncio.sleep(60)) for _ in range(2000)]

    held = watched.run(sleepers())
    before, whole = watched.call(time.thread_time), time.process_time()
    for _ in range(5):
        threads = [
            threading.Thread(target=client.fetch, args=(TASKS_BY_LOCATION,)) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    of_the_loop = watched.call(time.thread_time) - before
    assert of_the_loop < (time.process_time() - whole) / 4
    assert len(held) == 2000


def stuck_at(client, source):
    """The watched loop's thread, once it has reached this line; it has said before that it would."""
    deadline = time.monotonic() + PATIENCE
    while True:
        thread = client.get(STACKS, Stacks).threads[0]
        if any(frame.source == source for frame in thread.stack):
            return thread
        assert time.monotonic() < deadline, thread


def test_the_stacks_of_a_stuck_loop(serve, watched):
    client = serve().client()
    healthy = client.get(STACKS, Stacks)
    assert (healthy.threads[0].name, healthy.threads[0].watched) == ("watched", True)
    watched.block()
    thread = stuck_at(client, "self._released.wait(PATIENCE)")
    assert (thread.name, thread.watched, thread.running_task) == ("watched", True, None)
    assert any(f.function.endswith("stuck_in_a_callback") for f in thread.stack)


def test_the_task_that_holds_the_loop_up_is_named(serve, watched):
    client = serve().client()
    begun, release = threading.Event(), threading.Event()

    async def hog():
        begun.set()
        release.wait(PATIENCE)

    def spawn():
        hogs.append(asyncio.create_task(hog(), name="hog"))

    hogs = []
    watched.loop.call_soon_threadsafe(spawn)
    assert begun.wait(PATIENCE)
    thread = stuck_at(client, "release.wait(PATIENCE)")
    (serial,) = [record.serial for record in watched.ledger.records() if record.task in hogs]
    release.set()
    assert (thread.running_task.name, thread.running_task.serial) == ("hog", serial)
    watched.run(asyncio.sleep(0))
