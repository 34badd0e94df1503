"""``attach`` on a machine that refuses it something: the program goes on, and knows what does not work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket as sockets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed import Attached, attach
from qcfeed.control import paths, routes
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress, running_instances, socket_path
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.errors import InstanceTakenError, NotAllowedError, StartError, UnreachableError
from qcfeed.model.orphans import Reaped, ReapRequest
from qcfeed.model.status import ProgramStatus
from tests.support.patience import PATIENCE
from tests.support.program import program


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def warned(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "qcfeed.attached")
    return caplog


def client(instance: str) -> ControlClient:
    return ControlClient(ControlAddress(socket=socket_path(instance)), timeout=PATIENCE)


def pid_of(instance: str) -> int:
    return client(instance).get(routes.PROCESS, ProgramStatus).pid


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A path at which root cannot create a directory either: its parent is a file."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "directory"


async def goes_on() -> None:
    assert await asyncio.create_task(asyncio.sleep(0, "goes on")) == "goes on"


# ---------------------------------------------------------------- names


class AttachedLoop(threading.Thread):
    """A thread with a loop of its own that is attached until ``end`` is set."""

    def __init__(self, instance: str) -> None:
        super().__init__()
        self.instance = instance
        self.ready, self.end = threading.Event(), threading.Event()
        self.handle: Attached | None = None
        self.start()
        assert self.ready.wait(PATIENCE)

    def run(self) -> None:
        asyncio.run(self.main())

    async def main(self) -> None:
        async with attach(self.instance) as self.handle:
            self.ready.set()
            await asyncio.to_thread(self.end.wait)


@pytest.fixture
def another_loop() -> Iterator[AttachedLoop]:
    loop = AttachedLoop("billing")
    yield loop
    loop.end.set()
    loop.join(PATIENCE)
    assert not loop.is_alive()


async def test_a_taken_name_gets_the_next_free_one(
    another_loop: AttachedLoop, warned: pytest.LogCaptureFixture
) -> None:
    async with attach("billing") as second:
        assert second.instance == "billing-2"
        assert pid_of("billing-2") == os.getpid()
        assert (
            f"instance billing already runs here (pid {os.getpid()}); this program is billing-2:"
            " `qcfeed --instance billing-2 status`" in warned.text
        )
        assert {each.name for each in running_instances()} == {"billing", "billing-2"}


async def test_a_taken_socket_of_one_s_own_gets_the_next_free_path(
    home: Path, another_loop: AttachedLoop
) -> None:
    assert another_loop.handle is not None
    async with attach("billing", socket=another_loop.handle.socket) as second:
        assert second.socket == home / "qcfeed" / "billing-2.sock"


async def test_strict_refuses_a_taken_name_and_leaves_nothing_behind(
    another_loop: AttachedLoop,
) -> None:
    loop = asyncio.get_running_loop()
    factory, threads = loop.get_task_factory(), threading.active_count()
    with pytest.raises(InstanceTakenError, match="already runs here"):
        attach("billing", strict=True)
    assert (loop.get_task_factory(), threading.active_count()) == (factory, threads)
    assert [each.name for each in running_instances()] == ["billing"]


async def test_one_loop_is_attached_once_under_a_name(warned: pytest.LogCaptureFixture) -> None:
    with attach("billing") as first:
        assert attach("billing") is first
        assert "this loop is attached as billing already; the existing handle" in warned.text
        with pytest.raises(InstanceTakenError, match="this loop is attached as billing already"):
            attach("billing", strict=True)
        assert pid_of("billing") == os.getpid()
    with attach("billing") as next_one:
        assert next_one is not first
        assert next_one.instance == "billing"


def test_a_second_run_replaces_the_closed_loop_of_the_first(
    warned: pytest.LogCaptureFixture,
) -> None:
    handles: list[Attached] = []

    def threads() -> int:
        return sum(each.name == "qcfeed-control" for each in threading.enumerate())

    async def main() -> None:
        handles.append(attach("bot", strict=True))
        await goes_on()
        assert pid_of("bot") == os.getpid()

    for _ in range(3):
        asyncio.run(main())
    assert [handle.instance for handle in handles] == ["bot"] * 3
    assert threads() == 1  # that of the last run
    handles[-1].close()
    assert threads() == 0
    assert not warned.records


FORKED = """
import asyncio, multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later: a fork beside threads
from qcfeed import attach

async def main(role):
    handle = attach("billing")
    print(role, handle.instance, handle.problems, flush=True)
    if role == "parent":
        child = multiprocessing.get_context("fork").Process(target=in_child)
        child.start()
        await asyncio.to_thread(child.join)
        print("child's exit status", child.exitcode, flush=True)

def in_child():
    for role in ("child", "again"):
        asyncio.run(main(role))

asyncio.run(main("parent"))
"""


def test_a_forked_worker_of_an_attached_parent_attaches_itself(home: Path) -> None:
    """As in Celery's prefork pool, and twice: a worker runs a loop per job."""
    with program(home, "-c", FORKED) as running:
        assert running.process.wait(PATIENCE) == 0
        lines = [line for line in running.said.splitlines() if not line.startswith("attach: ")]
    assert lines == [
        "parent billing []",
        "child billing-2 []",
        "again billing-2 []",
        "child's exit status 0",
    ]


# ---------------------------------------------------------------- directories


async def test_without_a_directory_for_sockets_there_is_no_control_plane(
    blocked: Path, monkeypatch: pytest.MonkeyPatch, warned: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(blocked))
    with attach("billing") as handle:
        await goes_on()
        assert handle.socket is None
        assert handle.ledger.sites()[0].spawned > 0  # the ledger works
        [problem] = handle.problems
        assert problem.startswith(
            "attach goes on without the control plane, so `qcfeed --instance billing` finds no program:"
        )
        assert "Not a directory; set XDG_RUNTIME_DIR to a directory of yours" in problem
        assert problem in warned.text
    with pytest.raises(StartError, match="Not a directory"):
        attach("billing", strict=True)


async def test_without_a_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.gettempdir", none_found)
    with attach("billing") as handle:
        await goes_on()
        [problem] = handle.problems
        assert "there is no directory for control sockets: No usable temporary dir" in problem
        assert "set XDG_RUNTIME_DIR to a directory that this user can write to" in problem


async def test_without_a_state_directory_actions_are_recorded_beside_the_socket(
    home: Path, blocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    async with attach("billing") as handle:
        [problem] = handle.problems
        beside = home / "qcfeed" / "billing.audit.jsonl"
        assert f"actions are recorded in {beside} instead" in problem
        await asyncio.to_thread(client("billing").post, routes.REAP, ReapRequest(), Reaped)
        assert len(beside.read_text().splitlines()) == 2  # the intent and its outcome
    with pytest.raises(StartError, match="cannot write the audit log"):
        attach("billing", strict=True)


async def test_an_action_that_cannot_be_recorded_anywhere_is_refused(
    home: Path, blocked: Path
) -> None:
    (home / "qcfeed").mkdir(mode=0o700)
    (home / "qcfeed" / "billing.audit.jsonl").mkdir()
    async with attach("billing", audit_log=blocked):
        with pytest.raises(NotAllowedError, match="was refused: the audit log"):
            await asyncio.to_thread(client("billing").post, routes.REAP, ReapRequest(), Reaped)


async def test_a_user_without_a_home_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # as for the user id of a container
    with pytest.raises(StartError, match="no home directory"):
        paths.state_directory()
    with attach("billing") as handle:
        [problem] = handle.problems
        assert "this user has no home directory" in problem
        assert "set XDG_STATE_HOME, or HOME" in problem
        assert pid_of("billing") == os.getpid()


async def test_a_path_that_is_too_long_for_a_socket(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / ("long" * 30)))
    with attach("billing") as handle:
        [problem] = handle.problems
        assert "the kernel takes 107" in problem


async def test_a_tcp_port_in_use_leaves_the_unix_socket() -> None:
    with sockets.create_server(("127.0.0.1", 0)) as other:
        with attach("billing", control_listen=other.getsockname()) as handle:
            assert handle.port is None
            [problem] = handle.problems
            assert "without TCP, so only the Unix socket is served" in problem
            assert pid_of("billing") == os.getpid()
        with pytest.raises(StartError, match="cannot listen"):
            attach("billing", control_listen=other.getsockname(), strict=True)
    with pytest.raises(UnreachableError):
        pid_of("billing")


# ---------------------------------------------------------------- threads and descriptors


async def test_without_threads_the_ledger_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as machine:
        machine.setattr(threading.Thread, "start", refuse)
        handle = attach("billing")
    with handle:
        await goes_on()
        assert len(handle.problems) == 2
        assert all("can't start new thread" in problem for problem in handle.problems)
        assert handle.ledger.incomplete() == []
    assert running_instances() == []


async def test_a_loop_that_takes_no_task_factory_is_never_called_completely_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        raise NotImplementedError("no task factories")

    monkeypatch.setattr(Ledger, "install", refuse)
    with attach("billing") as handle:
        await goes_on()
        [problem] = handle.problems
        assert "without the task ledger" in problem
        process = client("billing").get(routes.PROCESS, ProgramStatus)
        assert process.totals.incomplete == [
            "stopped recording tasks: NotImplementedError: no task factories"
        ]


class Descriptors:
    """Takes all descriptors of this process but ``free`` ones."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def take_all(self) -> int:
        """Take those that are free; returns their number."""
        before = len(self._held)
        with contextlib.suppress(OSError):
            while True:
                self._held.append(os.open("/dev/null", os.O_RDONLY))
        return len(self._held) - before

    def release(self, number: int | None = None) -> None:
        for _ in range(len(self._held) if number is None else number):
            os.close(self._held.pop())


@contextlib.contextmanager
def no_descriptors() -> Iterator[Descriptors]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    descriptors = Descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 40, limits[1]))
    try:
        descriptors.take_all()
        yield descriptors
    finally:
        descriptors.release()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_with_any_number_of_free_descriptors_the_program_goes_on() -> None:
    """From none, where no socket can be opened, to enough: each number stops another step."""
    import qcfeed.control.server  # noqa: F401 - its import needs descriptors of its own

    unreachable = 0
    with no_descriptors() as descriptors:
        for free in range(30):
            descriptors.release(free)
            with attach("billing") as handle:
                await goes_on()
            unreachable += handle.socket is None
            assert descriptors.take_all() == free  # nothing was left open
            if not handle.problems:
                break
    assert handle.problems == []
    assert unreachable > 3
