from __future__ import annotations

import asyncio
import os
import re
import signal
import socket as sockets
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from qcfeed import Attached, attach
from qcfeed.control import routes
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress, running_instances, socket_path, token_path
from qcfeed.diagnostics.ledger import owned_by
from qcfeed.errors import (
    ConfigError,
    NoRunningLoopError,
    NotFoundError,
    UnreachableError,
)
from qcfeed.model.findings import Findings
from qcfeed.model.history import History
from qcfeed.model.orphans import Orphans, Reaped, ReapRequest
from qcfeed.model.stacks import Stacks
from qcfeed.model.status import ProgramStatus, ServiceStatus
from qcfeed.model.tasks import TasksByLocation
from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port
from tests.support.program import program
from tests.support.shell import untraced

HERE = "tests/integration/test_attached.py"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def client(instance: str) -> ControlClient:
    return ControlClient(ControlAddress(socket=socket_path(instance)), timeout=PATIENCE)


async def forever() -> None:
    await asyncio.Event().wait()


def live_here(answer: TasksByLocation) -> int:
    return sum(row.live for row in answer.locations if row.location.startswith(HERE))


async def test_its_tasks_join_the_program_s_own_metrics() -> None:
    with attach("billing") as handle:
        collector = handle.collector()
        REGISTRY.register(collector)  # refuses what is there already under the same name
        try:
            tasks = [asyncio.create_task(forever()) for _ in range(3)]
            text = (await asyncio.to_thread(generate_latest, REGISTRY)).decode()
        finally:
            REGISTRY.unregister(collector)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    [live] = [
        line
        for line in text.splitlines()
        if line.startswith("qcfeed_tasks_live{" + f'location="{HERE}')
    ]
    assert live.endswith(" 3.0")
    for name in (
        "qcfeed_memory_limit_bytes",
        "qcfeed_loop_lag_seconds_sum",
        "process_resident_memory_bytes",
    ):
        assert f"\n{name} " in text


async def test_an_attached_program_records_its_memory_and_tasks() -> None:
    with attach("billing") as handle:
        told = client("billing").get(routes.HISTORY, History)
        while not told.points:  # the first snapshot is taken at once, in a thread of its own
            await asyncio.sleep(0.01)
            told = client("billing").get(routes.HISTORY, History)
        assert told.limit_bytes > (told.points[0].resident_bytes or 0) > 0
        assert told.points[0].subscriptions is None
        assert handle.ledger.failure is None


async def test_an_attached_program_answers_until_it_is_closed_and_goes_on() -> None:
    loop = asyncio.get_running_loop()
    threads = {t.name for t in threading.enumerate()}
    before = loop.get_task_factory(), loop.get_exception_handler()
    handle = attach("billing")
    task = asyncio.create_task(forever())
    answer = client("billing").get(routes.TASKS_BY_LOCATION, TasksByLocation)
    assert (answer.instance, answer.pid, live_here(answer)) == ("billing", os.getpid(), 1)
    process = client("billing").get(routes.PROCESS, ProgramStatus)
    assert process.totals.live == 1
    assert process.memory.resident_bytes > 1_000_000
    handle.close()
    handle.close()
    assert (loop.get_task_factory(), loop.get_exception_handler()) == before
    assert not {t.name for t in threading.enumerate() if t.name.startswith("qcfeed")} - threads
    assert not socket_path("billing").exists()
    with pytest.raises(UnreachableError):
        client("billing").get(routes.PROCESS, ProgramStatus)
    task.cancel()
    await asyncio.wait([task])
    assert await asyncio.create_task(asyncio.sleep(0, "goes on")) == "goes on"


async def test_orphans_are_reaped_and_nothing_else() -> None:
    gone = False
    async with attach("billing"):
        with owned_by(lambda: gone):
            orphan = asyncio.create_task(forever())
        other = asyncio.create_task(forever())
        gone = True
        assert client("billing").get(routes.ORPHANS, Orphans).total == 1
        reaped = await asyncio.to_thread(client("billing").post, routes.REAP, ReapRequest(), Reaped)
        assert (reaped.cancelled, reaped.survivors) == (1, [])
        assert orphan.cancelled()
        assert not other.done()
        other.cancel()
        await asyncio.wait([other])


async def test_it_chains_with_a_task_factory_and_leaves_it_as_found() -> None:
    loop = asyncio.get_running_loop()
    made: list[asyncio.Task[Any]] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        made.append(asyncio.Task(coro, loop=loop, **kwargs))
        return made[-1]

    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    with attach("billing"):
        task = asyncio.create_task(forever())
        assert made == [task]
        assert live_here(client("billing").get(routes.TASKS_BY_LOCATION, TasksByLocation)) == 1
        task.cancel()
        await asyncio.wait([task])
    assert loop.get_task_factory() is factory
    loop.set_task_factory(before)


async def test_names_and_addresses_that_cannot_be_are_refused() -> None:
    factory = asyncio.get_running_loop().get_task_factory()
    with pytest.raises(ConfigError):
        attach("no/name")
    with pytest.raises(ConfigError, match="loopback"):
        attach("billing", control_listen=("192.0.2.1", 0))
    assert asyncio.get_running_loop().get_task_factory() is factory
    assert running_instances() == []


def test_attach_without_a_running_loop_raises() -> None:
    with pytest.raises(NoRunningLoopError, match="without a running event loop") as caught:
        attach("billing")
    assert isinstance(caught.value, RuntimeError)


async def test_other_files_and_tcp(home: Path) -> None:
    with attach(
        "billing",
        socket=home / "mine" / "b.sock",
        audit_log=home / "mine.jsonl",
        control_listen=("127.0.0.1", 0),
    ) as handle:
        assert (home / "mine" / "b.sock").is_socket()
        assert (home / "mine.jsonl").exists()
        token = token_path().read_text().strip()
        address = ControlAddress(port=handle.port or 0, token=token)
        assert (
            ControlClient(address, timeout=PATIENCE).get(routes.PROCESS, ProgramStatus).pid
            == os.getpid()
        )


async def test_commands_about_feeds_explain_that_there_are_none() -> None:
    with attach("billing"), pytest.raises(NotFoundError, match=r"uses qcfeed\.attach"):
        client("billing").get(routes.STATUS, ServiceStatus)


async def test_the_control_plane_does_not_use_the_programs_loop_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The program may have set uvloop as its loop, for example by the loop policy."""

    def new_event_loop() -> asyncio.AbstractEventLoop:
        raise LookupError("the loop of the program")

    monkeypatch.setattr(asyncio.events, "new_event_loop", new_event_loop)
    async with attach("billing"):
        assert client("billing").get(routes.PROCESS, ProgramStatus).pid == os.getpid()


async def test_spawn_stacks_are_kept_if_requested() -> None:
    with attach("billing", spawn_stacks=1) as handle:
        task = asyncio.create_task(forever())
        [record] = [record for record in handle.ledger.records() if record.task is task]
        assert [code.co_name for code, _ in record.spawned_by] == [
            "test_spawn_stacks_are_kept_if_requested"
        ]
        task.cancel()
        await asyncio.wait([task])


async def test_a_replaced_task_factory_is_reported_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each answer has the ledger checked first: none waits for the next sample."""
    loop = asyncio.get_running_loop()
    async with attach("billing") as handle:
        check = handle.ledger.check
        monkeypatch.setattr(
            check, "refresh", partial(check.refresh, PATIENCE)
        )  # on a busy machine too
        recording = loop.get_task_factory()

        async def answers() -> tuple[ProgramStatus, Orphans, Findings, str]:
            def ask() -> tuple[ProgramStatus, Orphans, Findings, str]:
                asked = client("billing")
                registry = CollectorRegistry()
                registry.register(handle.collector())
                return (
                    asked.get(routes.PROCESS, ProgramStatus),
                    asked.get(routes.ORPHANS, Orphans),
                    asked.get(routes.TASKS_FINDINGS, Findings),
                    generate_latest(registry).decode(),
                )

            return await asyncio.to_thread(ask)

        loop.set_task_factory(library_factory)
        hidden = [asyncio.create_task(forever()) for _ in range(50)]
        process, orphans, findings, metrics = await answers()
        (reason,) = process.totals.incomplete
        assert re.match(r"cannot see 5\d of 5\d tasks: ", reason)
        assert reason.endswith(
            "the loop's task factory is tests.integration.test_attached.library_factory"
        )
        assert orphans.total == 0
        assert len(orphans.incomplete) == 1
        assert findings.findings[0].rule == "incomplete_ledger"
        assert "\nqcfeed_ledger_problems 1.0\n" in metrics
        loop.set_task_factory(recording)
        for task in hidden:
            task.cancel()
        await asyncio.wait(hidden)
        process, orphans, findings, metrics = await answers()
        assert process.totals.incomplete == orphans.incomplete == []
        assert "incomplete_ledger" not in [each.rule for each in findings.findings]
        assert "\nqcfeed_ledger_problems 0.0\n" in metrics


def library_factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, **kwargs)


class Looped(threading.Thread):
    """A loop in a thread, attached, with some tasks."""

    def __init__(self, instance: str, tasks: int) -> None:
        super().__init__()
        self.instance, self.tasks = instance, tasks
        self.ready, self.enough = threading.Event(), threading.Event()
        self.start()
        assert self.ready.wait(PATIENCE)

    def run(self) -> None:
        asyncio.run(self.main())

    async def main(self) -> None:
        async with attach(self.instance), asyncio.TaskGroup() as group:
            tasks = [group.create_task(forever()) for _ in range(self.tasks)]
            self.ready.set()
            await asyncio.to_thread(self.enough.wait)
            for task in tasks:
                task.cancel()


@pytest.fixture
def two_loops() -> Iterator[list[Looped]]:
    loops = [Looped("one", 1), Looped("two", 2)]
    yield loops
    for each in loops:
        each.enough.set()
        each.join(PATIENCE)
        assert not each.is_alive()


def test_two_loops_in_two_threads_each_under_its_own_name(two_loops: list[Looped]) -> None:
    for each in two_loops:
        answer = client(each.instance).get(routes.TASKS_BY_LOCATION, TasksByLocation)
        assert live_here(answer) == each.tasks
        # The wait for ``enough`` is no task; what is untracked is main(), and only this loop's.
        assert answer.totals.untracked == 1


def test_after_its_loop_has_closed_it_still_answers_and_claims_no_stall() -> None:
    handles: list[Attached] = []

    async def main() -> None:
        handles.append(attach("billing"))

    asyncio.run(main())
    process = client("billing").get(routes.PROCESS, ProgramStatus)
    assert process.totals.live == 0
    assert process.loop_stall_ms == 0
    with pytest.raises(UnreachableError, match="has stopped"):
        client("billing").post(routes.REAP, ReapRequest(), Reaped)
    handles[0].close()
    assert not socket_path("billing").exists()


# ---------------------------------------------------------------- whole processes

FORK = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later: a fork beside threads
from qcfeed import attach

async def main():
    handle = attach("billing", control_listen=("127.0.0.1", {port}))
    child = os.fork()
    if not child:
        {child}
        sys.stdin.read()
        os._exit(0)
    print("child", child, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.parametrize("child", ["pass", "handle.close()"])
def test_a_forked_child_neither_answers_nor_removes_anything(home: Path, child: str) -> None:
    """A forked child does not keep the instance name after its parent has died."""
    reading, writing = os.pipe()
    with (
        refusing_port() as port,
        program(home, "-c", FORK.format(child=child, port=port), stdin=reading) as parent,
    ):
        _, pid = parent.hear("child ").split()
        assert client("billing").get(routes.PROCESS, ProgramStatus).pid == parent.process.pid
        assert socket_path("billing").is_socket()
        parent.end(signal.SIGKILL)
        assert os.kill(int(pid), 0) is None  # the child lives on
        with pytest.raises(UnreachableError, match=r"refused|no qcfeed service runs here"):
            client("billing").get(routes.PROCESS, ProgramStatus)
        with pytest.raises(ConnectionRefusedError), sockets.socket() as asking:
            asking.connect(("127.0.0.1", port))
        take_the_name()
    os.close(writing)  # the child reads the end of its input and leaves
    os.close(reading)


def take_the_name() -> None:
    async def main() -> None:
        with attach("billing"):
            assert client("billing").get(routes.PROCESS, ProgramStatus).pid == os.getpid()

    asyncio.run(main())


NEVER_CLOSED = """
import asyncio
from qcfeed import attach

async def main():
    attach("billing")
    asyncio.create_task(asyncio.sleep(3600))
    {ending}

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("ending", "status"), [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os._exit(4)", 4)]
)
def test_a_process_that_ends_without_closing_prints_nothing(
    home: Path, ending: str, status: int
) -> None:
    script = NEVER_CLOSED.format(ending=ending)
    with program(home, "-c", script) as running:
        assert running.process.wait(PATIENCE) == status
        assert running.said == ""
    take_the_name()


def test_importing_qcfeed_imports_nothing_heavy() -> None:
    script = "import sys, qcfeed; before = set(sys.modules); qcfeed.attach; print(*before, '|', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=untraced(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    before, after = (set(part.split()) for part in done.stdout.split("|"))
    assert not before & {"typing", "asyncio", "msgspec", "aiohttp", "qcfeed.attached"}
    assert "qcfeed.attached" in after
    assert "aiohttp" not in after


def test_a_program_under_uvloop_is_seen_like_any_other() -> None:
    async def asked(path: str, kind: Any, **params: Any) -> Any:
        return await asyncio.to_thread(lambda: client("fast").get(path, kind, **params))

    async def main() -> None:
        gone = False
        async with attach("fast", spawn_stacks=3):
            with owned_by(lambda: gone):
                tasks = [asyncio.create_task(forever()) for _ in range(3)]
            kept = asyncio.create_task(asyncio.sleep(3600))
            await asyncio.sleep(0)
            answer = await asked(routes.TASKS_BY_LOCATION, TasksByLocation, waits=True)
            assert live_here(answer) == 4
            waits = [w.state for row in answer.locations for w in row.waits or ()]
            assert {"Event.wait", "sleeping"} <= set(waits)
            gone = True
            assert (await asked(routes.ORPHANS, Orphans)).total == 3
            reaped = await asyncio.to_thread(
                lambda: client("fast").post(routes.REAP, ReapRequest(), Reaped)
            )
            assert (reaped.cancelled, reaped.survivors) == (3, [])
            assert all(task.cancelled() for task in tasks)
            assert not kept.done()
            stacks = await asked(routes.STACKS, Stacks)
            assert stacks.threads[0].watched
            kept.cancel()
            await asyncio.wait([kept])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
