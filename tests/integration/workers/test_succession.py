"""A restart with a successor: it stands by before the process ends, and every end of either is handled."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import psutil
import pytest

from qcfeed.errors import StartError
from qcfeed.workers import child_process
from qcfeed.workers.checks import Report
from qcfeed.workers.child_process import ChildProcess
from qcfeed.workers.supervised_process import Successor, SupervisedProcess
from tests.support.patience import PATIENCE
from tests.support.sinks import until


class Group:
    """A supervised process that sleeps; ``children``: all that were started, in this order."""

    def __init__(self) -> None:
        self.children: list[ChildProcess] = []
        self.may_stand_by = asyncio.Event()
        self.may_stand_by.set()
        self.failure: str | None = None
        self.running_when_standing_by: list[bool] = []
        self.process = SupervisedProcess(
            "8006-feeder", "feeder", self.launch, self.check, 0.0, self.stand_by
        )

    async def launch(self) -> ChildProcess:
        sleeps = (sys.executable, "-S", "-c", "import time; time.sleep(3600)")
        child = await child_process.start(sleeps, os.environ, lambda _: None)
        self.children.append(child)
        return child

    async def check(self) -> Report:
        return Report()

    async def stand_by(self) -> Successor:
        if self.failure:
            raise StartError(self.failure)
        child = await self.launch()
        await self.may_stand_by.wait()
        self.running_when_standing_by.append(self.children[-2].status is None)

        async def take_over() -> ChildProcess:
            if child.status is not None or not psutil.pid_exists(child.pid):
                raise StartError("it has ended")
            return child

        return Successor(child, take_over)


@pytest.fixture
async def group() -> AsyncIterator[Group]:
    found = Group()
    await found.process.start()
    async with asyncio.timeout(PATIENCE):
        yield found
        await found.process.stop(PATIENCE)
    assert all(each.status is not None for each in found.children), "a process is left"


async def test_the_process_ends_only_when_its_successor_stands_by(group: Group) -> None:
    await group.process.restart(PATIENCE)
    old, new = group.children
    assert group.running_when_standing_by == [True]
    assert old.status == -signal.SIGTERM
    assert (group.process.pid, group.process.state) == (new.pid, "ready")
    assert group.process.restarts.by_reason["requested"] == 1


async def test_without_a_successor_the_process_goes_on(group: Group) -> None:
    group.failure = "8006-feeder was not standing by within 60 s"
    with pytest.raises(StartError, match="not standing by"):
        await group.process.restart(PATIENCE)
    [only] = group.children
    assert (only.status, group.process.pid, group.process.state) == (None, only.pid, "ready")


async def test_a_process_that_dies_meanwhile_starts_again_and_no_successor_is_left(
    group: Group,
) -> None:
    group.may_stand_by.clear()
    restarting = asyncio.create_task(group.process.restart(PATIENCE))
    await until(lambda: len(group.children) == 2)
    group.children[0].signal(signal.SIGKILL)
    await until(lambda: group.process.state != "ready")
    group.may_stand_by.set()
    with pytest.raises(StartError, match="ended meanwhile: was killed by SIGKILL"):
        await restarting
    await until(lambda: group.process.state == "ready")
    assert [each.pid for each in group.children if each.status is None] == [group.process.pid]


async def test_a_successor_that_stands_by_too_late_is_ended_with_the_group(group: Group) -> None:
    group.may_stand_by.clear()
    restarting = asyncio.create_task(group.process.restart(PATIENCE))
    await until(lambda: len(group.children) == 2)
    await group.process.stop(PATIENCE)
    group.may_stand_by.set()
    with pytest.raises(StartError, match="ended meanwhile"):
        await restarting
