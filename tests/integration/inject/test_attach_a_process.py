"""``qcfeed attach``, ``detach`` and ``tasks --pid`` on a program that has never heard of qcfeed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcfeed.errors import ExitStatus
from qcfeed.inject import process, requests, script, tracing
from tests.support.attachable import SPAWN_LINE, Attachable, attachable, python, qcfeed
from tests.support.patience import PATIENCE
from tests.support.shell import until

NOBODY = 65534
LINE = f"attachable_program.py:{SPAWN_LINE}"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def on() -> str:
    return python()


@pytest.fixture
def target(tmp_path: Path, on: str) -> Iterator[Attachable]:
    with attachable(tmp_path, on) as running:
        yield running


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the commands have their directories; they must leave nothing there. Short, for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="qcfeed-") as place:
        monkeypatch.setenv("TMPDIR", place)
        yield Path(place)
        assert not list(Path(place).glob("qcfeed-attach-*"))


def is_restored(target: Attachable, before: dict[str, Any]) -> None:
    """Wait until the program is as it was: the thread that did the work ends just after its report."""
    until(lambda: target.ask() == before, "the program to be as it was")


def test_looking_groups_the_tasks_and_leaves_nothing(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    before = target.ask()
    looked = qcfeed(tmp_path, "tasks", "--pid", str(target.pid), "-o", "json", on=sys.executable)
    assert looked.returncode == 0, looked.stderr
    answer = json.loads(looked.stdout)
    [loop] = answer["loops"]
    assert (answer["pid"], loop["total"]) == (target.pid, 12)
    largest = loop["groups"][0]
    assert (largest["coroutine"], largest["waiting"]) == ("forever", "Event.wait")
    assert largest["count"] == 11
    assert "its loop stands still" in looked.stderr.splitlines()[0]  # the cost is said first
    is_restored(target, before)


def test_memory_is_read_and_the_program_is_left_as_it_was(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    before = target.ask()
    looked = qcfeed(tmp_path, "memory", "--pid", str(target.pid), "-o", "json", on=on)
    assert looked.returncode == 0, looked.stderr
    answer = json.loads(looked.stdout)
    assert answer["pid"] == target.pid
    assert "tasks" in {part["kind"] for part in answer["parts"]}
    is_restored(target, before)


def test_an_attached_program_answers_every_command_and_is_left_as_it_was(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    before, pid = target.ask(), str(target.pid)
    attached = qcfeed(tmp_path, "--instance", "shop", "attach", pid, "-o", "name", on=on)
    assert (attached.returncode, attached.stdout) == (0, "shop\n"), attached.stderr
    for _ in range(3):
        target.ask("spawn")
    answer = json.loads(
        qcfeed(tmp_path, "--instance", "shop", "tasks", "--by-location", "-o", "json", on=on).stdout
    )
    assert {row["location"]: row["live"] for row in answer["locations"]} == {LINE: 3}
    assert answer["earlier"][0]["count"] == 11
    assert answer["earlier"][0]["coroutine"] == "forever"
    assert answer["totals"]["untracked"] == 12
    for words in (
        "tasks",
        "status",
        "orphans",
        "stacks",
        "tasks findings",
        "growth",
        "tasks --tree",
    ):
        told = qcfeed(tmp_path, "--instance", "shop", *words.split(), on=on)
        assert told.returncode in (0, 1), (words, told.stderr)
        assert "Traceback" not in told.stderr
    assert target.ask()["path"] == before["path"]  # it was there only while qcfeed was imported

    again = qcfeed(tmp_path, "attach", pid, on=on)
    assert again.returncode == ExitStatus.USAGE
    assert "already, as instance shop" in again.stderr

    detached = qcfeed(tmp_path, "detach", pid, on=on)
    assert detached.returncode == 0, detached.stderr
    assert "left behind  nothing" in detached.stdout
    is_restored(target, before)
    assert qcfeed(tmp_path, "detach", pid, on=on).returncode == ExitStatus.USAGE
    assert actions(tmp_path, "shop") == [("attach", "done"), ("detach", "done")]


def actions(home: Path, instance: str) -> list[tuple[str, str]]:
    lines = (home / "qcfeed" / f"{instance}.audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return [(each["action"], each["outcome"]) for each in entries if each["event"] == "outcome"]


def test_it_is_detached_by_itself_after_the_time_of_for(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    before = target.ask()
    attached = qcfeed(tmp_path, "attach", str(target.pid), "--for", "100ms", on=on)
    assert attached.returncode == 0, attached.stderr
    is_restored(target, before)
    instance = f"pid-{target.pid}"
    until(lambda: len(actions(tmp_path, instance)) == 2, "its line in the audit log")
    assert actions(tmp_path, instance) == [("attach", "done"), ("detach", "done")]
    assert qcfeed(tmp_path, "attach", str(target.pid), on=on).returncode == 0  # and again


def test_a_loop_in_another_thread_is_reached_while_the_main_thread_waits_for_it(
    tmp_path: Path, on: str
) -> None:
    with attachable(tmp_path, on, "thread") as target:
        before, pid = target.ask(), str(target.pid)
        looked = qcfeed(tmp_path, "tasks", "--pid", pid, "-o", "json", on=on)
        [loop] = json.loads(looked.stdout)["loops"]
        assert (loop["thread"], loop["total"]) == ("loop", 12)
        assert qcfeed(tmp_path, "attach", pid, on=on).returncode == 0
        target.ask("spawn")
        told = qcfeed(tmp_path, "--instance", f"pid-{pid}", "tasks", "--by-location", on=on)
        assert LINE in told.stdout
        assert qcfeed(tmp_path, "detach", pid, on=on).returncode == 0
        is_restored(target, before)


@pytest.mark.parametrize("words", ["uvloop", "eager"])
def test_on_other_loops_and_factories(tmp_path: Path, on: str, words: str) -> None:
    with attachable(tmp_path, on, words) as target:
        before = target.ask()
        attaching = subprocess.Popen(
            [on, "-m", "qcfeed", "attach", str(target.pid)],
            env=os.environ | home_of(tmp_path),
            stdout=subprocess.DEVNULL,
        )
        until(lambda: bool(target.ask()) and attaching.poll() is not None, "it to be attached")
        assert attaching.returncode == 0
        target.ask("spawn")
        answer = qcfeed(
            tmp_path, "--instance", f"pid-{target.pid}", "tasks", "--by-location", on=on
        ).stdout
        assert LINE in answer
        detaching = subprocess.Popen(
            [on, "-m", "qcfeed", "detach", str(target.pid)],
            env=os.environ | home_of(tmp_path),
            stdout=subprocess.DEVNULL,
        )
        until(lambda: bool(target.ask()) and detaching.poll() is not None, "it to be detached")
        assert detaching.returncode == 0
        if words != "uvloop":  # which opens and closes descriptors of its own
            is_restored(target, before)
        assert target.ask()["factory"] == before["factory"]
        assert target.ask()["threads"] == before["threads"]


def home_of(home: Path) -> dict[str, str]:
    from tests.support.program import ROOT
    from tests.support.shell import environment

    return environment(home) | {"PYTHONPATH": str(ROOT)}


def test_a_script_whose_command_was_killed_does_nothing_and_removes_itself(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    before, room = target.ask(), tmp_path / "room"
    room.mkdir(mode=0o700)
    text = script.build(str(room), "qcfeed.inject.injected.attach", {}, PATIENCE)
    (room / "script.py").write_text(text)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(room / "socket"))  # and nobody listens
    seen = process.target(target.pid)
    with tracing.stopped(target.pid):
        seen.runtime.request(str(room / "script.py"))
    until(lambda: not room.exists(), "the script to notice that nobody waits for it")
    is_restored(target, before)


def test_a_request_that_was_withdrawn_is_not_carried_out(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    before, pid = target.ask(), str(target.pid)
    with blocked(tmp_path, target):
        command = qcfeed(tmp_path, "--timeout", "0.2", "attach", pid, on=on)
        assert command.returncode == ExitStatus.TIMED_OUT
        assert "did not run the script within 0.2 s, and no longer will" in command.stderr
    is_restored(target, before)


@contextlib.contextmanager
def blocked(home: Path, target: Attachable) -> Iterator[None]:
    """The program's main thread is in one call, and runs no Python, until the end of the block."""
    pipe = home / "pipe"
    os.mkfifo(pipe)
    target.tell(f"block {pipe}")
    with pipe.open("w"):
        yield
    assert target.process.stdout is not None
    target.process.stdout.readline()


def test_an_attach_that_the_command_did_not_live_to_hear_of_is_undone(
    tmp_path: Path, on: str, target: Attachable, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = target.ask()
    room = tmp_path / "room"
    room.mkdir(mode=0o700)
    arguments: dict[str, Any] = {}
    monkeypatch.setattr(
        requests.exchange, "run", lambda _target, _work, given, *_: arguments.update(given)
    )
    seen = process.target(target.pid)
    requests.attach(seen, "shop", seconds=None, within=PATIENCE)
    arguments["path"] = paths_of(on)
    text = script.build(str(room), "qcfeed.inject.injected.attach", arguments, PATIENCE)
    (room / "script.py").write_text(text)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(PATIENCE)
        listener.bind(str(room / "socket"))
        listener.listen()
        with tracing.stopped(target.pid):
            seen.runtime.request(str(room / "script.py"))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            told = json.loads(connection.makefile().readline())
        # and it is gone without having confirmed that it heard
    assert told.get("instance") == "shop", told
    is_restored(target, before)
    assert not list((tmp_path / "qcfeed").glob("*.sock*"))


def paths_of(on: str) -> list[str]:
    """Where that Python has qcfeed and its packages."""
    from tests.support.program import ROOT

    code = "from qcfeed.inject import requests; print(*requests._path(), sep='\\n')"
    ran = subprocess.run(
        [on, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    return ran.stdout.split("\n")[:-1]


def refused(home: Path, on: str, *args: str, status: ExitStatus, words: str, **how: Any) -> None:
    """A command is refused with this status, in one sentence that says what to do next."""
    ended = qcfeed(home, *args, on=on, **how)
    lines = [line for line in ended.stderr.splitlines() if line]
    assert ended.returncode == status, ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert lines[-1].startswith("  hint: ")


@pytest.mark.parametrize("command", [("attach", "{}"), ("detach", "{}"), ("tasks", "--pid", "{}")])
def test_what_cannot_be_attached_is_refused(
    tmp_path: Path, on: str, target: Attachable, command: tuple[str, ...]
) -> None:
    def refuse(pid: int, status: ExitStatus, words: str, **how: Any) -> None:
        args = [word.format(pid) for word in command]
        refused(tmp_path, on, *args, status=status, words=words, **how)

    refuse(4_000_000_000, ExitStatus.USAGE, "there is no process")
    with subprocess.Popen(["sleep", "600"]) as other:
        refuse(other.pid, ExitStatus.USAGE, "is no Python program")
        other.kill()
    with tracing.stopped(target.pid):
        refuse(target.pid, ExitStatus.NOT_ALLOWED, f"traced by process {os.getpid()}")
    target.process.send_signal(signal.SIGSTOP)
    until(lambda: "T" in state(target.pid), "it to be stopped")
    refuse(target.pid, ExitStatus.UNREACHABLE, "is stopped")
    target.process.send_signal(signal.SIGCONT)
    if os.geteuid() == 0:
        tmp_path.chmod(0o755)
        words = f"belongs to user root, and this command runs as {user(NOBODY)}"
        refuse(target.pid, ExitStatus.NOT_ALLOWED, words, user=NOBODY, group=NOBODY)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def user(uid: int) -> str:
    import pwd

    return pwd.getpwuid(uid).pw_name


def test_a_program_that_forbids_remote_debugging_is_left_alone(tmp_path: Path, on: str) -> None:
    words = "remote debugging switched off"
    with attachable(tmp_path, on, options=("-X", "disable-remote-debug")) as target:
        refused(tmp_path, on, "attach", str(target.pid), status=ExitStatus.NOT_ALLOWED, words=words)
        target.ask()


def test_a_program_without_a_loop_is_refused_and_imports_nothing(tmp_path: Path, on: str) -> None:
    with attachable(tmp_path, on, "no-loop") as target:
        # It imports asyncio, but runs no loop.
        for words in (["attach", str(target.pid)], ["tasks", "--pid", str(target.pid)]):
            refused(tmp_path, on, *words, status=ExitStatus.USAGE, words="no event loop runs in it")


def test_an_older_python_is_told_what_works_there(tmp_path: Path, on: str) -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("this Python is no older one")
    with attachable(tmp_path, sys.executable) as target:
        words = "only Python 3.14 and later run what another process asks for"
        refused(tmp_path, on, "attach", str(target.pid), status=ExitStatus.USAGE, words=words)


def test_qcfeed_of_another_minor_version_can_look_but_not_attach(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    if on == sys.executable:
        pytest.skip("needs a second Python")
    words = "this one is installed for Python 3."
    before = target.ask()
    refused(
        tmp_path, sys.executable, "attach", str(target.pid), status=ExitStatus.USAGE, words=words
    )
    is_restored(target, before)


def test_a_package_that_is_too_old_there_is_refused_and_nothing_is_left(
    tmp_path: Path, on: str
) -> None:
    metadata = tmp_path / "own" / "msgspec-0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: msgspec\nVersion: 0.1\n")
    with attachable(tmp_path, on, PYTHONPATH=str(tmp_path / "own")) as target:
        before = target.ask()
        words = "it has msgspec 0.1, and qcfeed needs"
        refused(tmp_path, on, "attach", str(target.pid), status=ExitStatus.USAGE, words=words)
        is_restored(target, before)


@as_root
def test_root_attaches_the_program_of_another_user(tmp_path: Path, on: str, rooms: Path) -> None:
    home = rooms / "home"
    home.mkdir()
    for each in (rooms, home):
        each.chmod(0o777)
    runs = subprocess.run([on, "-c", ""], user=NOBODY, group=NOBODY, check=False, cwd=home)
    if runs.returncode:
        pytest.skip("the interpreter can be run by root only")
    with attachable(home, on, uid=NOBODY) as target:
        before, pid = target.ask(), str(target.pid)
        attached = qcfeed(tmp_path, "attach", pid, "-o", "json", on=on)
        assert attached.returncode == 0, attached.stderr
        socket_path = json.loads(attached.stdout)["socket"]
        assert Path(socket_path).stat().st_uid == NOBODY
        assert f"qcfeed --socket {socket_path} tasks" in attached.stderr
        told = qcfeed(tmp_path, "--socket", socket_path, "tasks", "--by-location", on=on)
        assert told.returncode == 0, told.stderr
        assert qcfeed(tmp_path, "detach", pid, on=on).returncode == 0
        is_restored(target, before)


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)")
def test_without_the_capability_the_kernel_s_refusal_is_explained(
    tmp_path: Path, on: str, target: Attachable
) -> None:
    drop = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    ended = subprocess.run(
        [*drop, on, "-m", "qcfeed", "attach", str(target.pid)],
        env=os.environ | home_of(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == ExitStatus.NOT_ALLOWED, ended.stderr
    assert "CAP_SYS_PTRACE" in ended.stderr


@as_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare (util-linux)")
def test_a_process_of_another_container_is_refused(tmp_path: Path, on: str) -> None:
    ready = tmp_path / "ready"
    inside = ["unshare", "--pid", "--fork", "--mount", "--kill-child", on, "-c"]
    code = f"import pathlib, time; pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    with subprocess.Popen([*inside, code]) as outer:
        try:
            until(ready.exists, "the process in its namespaces")
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            words = "another container or sandbox"
            refused(tmp_path, on, "attach", children[0], status=ExitStatus.UNREACHABLE, words=words)
        finally:
            outer.kill()


def test_the_packages_that_are_checked_are_those_of_the_metadata() -> None:
    least = requests._least()
    assert set(least) == {"aiohttp", "msgspec", "psutil", "prometheus-client"}
    assert all(
        f"{name}>={version}" in (importlib.metadata.requires("qcfeed") or ())
        for name, version in least.items()
    )
