"""What a TAB is answered, from a real control plane and from strange ones, and what it imports."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qcfeed.cli.complete import answer, live
from qcfeed.control import paths
from tests.support.patience import PATIENCE
from tests.support.shell import untraced

from ..conftest import Watched

HEAVY = {
    "typer", "click", "rich", "msgspec", "asyncio", "httptools", "http.client", "email", "ssl", "hashlib",
    "dataclasses", "tempfile", "random", "subprocess", "logging", "importlib.metadata",
}  # fmt: skip
TYPING = {"contextlib", "inspect", "pathlib", "traceback", "typing", "urllib.parse"}
"""What even the reading of addresses takes, and a service on this machine does without."""
BREAKS = " \t\n\"'><=;|&(:"


@pytest.fixture
def tab(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    def press(*asked: str) -> list[str]:
        answer.main(asked)
        return capsys.readouterr().out.splitlines()

    return press


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a busy machine's answer comes in time."""
    monkeypatch.setattr(live, "DEADLINE", PATIENCE)


def test_each_shell_gets_its_form(tab: Callable[..., list[str]]) -> None:
    assert tab("bash", BREAKS, "qcfeed orph") == ["orphans"]
    [zsh] = [line for line in tab("zsh", "orph") if line.startswith("orphans")]
    assert zsh.startswith("orphans:List tasks and subscriptions")
    [fish] = [line for line in tab("fish", "orph") if line.startswith("orphans")]
    assert fish.startswith("orphans\tList tasks and subscriptions")
    assert tab("fish", "tasks", "--from", "") == [":files"]
    assert tab("bash", BREAKS, "qcfeed tasks --output=js") == ["json"]


@pytest.mark.parametrize("asked", [(), ("bash",), ("bash", "x"), ("zsh",), ("bash", BREAKS, "")])
def test_invalid_arguments_print_nothing(
    tab: Callable[..., list[str]], asked: tuple[str, ...]
) -> None:
    assert tab(*asked) == []


@pytest.mark.usefixtures("patient")
async def test_values_come_from_the_service(
    watched: Watched, sleepers: Callable[..., None], tab: Callable[..., list[str]]
) -> None:
    watched.serve("night")
    sleepers(3)
    own = Path(__file__).parent.parent / "conftest.py"
    serials = await asyncio.to_thread(tab, "zsh", "tasks", "show", "")
    assert len(serials) >= 3
    assert all("conftest.py" in line or "test" in line for line in serials)
    [there] = [
        line
        for line in await asyncio.to_thread(tab, "fish", "tasks", "--site", "")
        if line.partition(":")[0].endswith(own.name)
    ]
    assert there.endswith("\t3 live")
    place = there.partition("\t")[0]
    assert await asyncio.to_thread(tab, "bash", BREAKS, f"qcfeed tasks --site {place}") == [
        place.rpartition(":")[2]
    ]
    assert await asyncio.to_thread(tab, "fish", "--instance", "") == ["night"]


@pytest.mark.usefixtures("patient")
async def test_the_flag_and_the_environment_choose_the_service(
    watched: Watched,
    sleepers: Callable[..., None],
    tab: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = watched.serve("one"), watched.serve("two")
    sleepers(1)

    async def asked(*before: str) -> bool:
        return bool(await asyncio.to_thread(tab, "fish", *before, "tasks", "show", ""))

    assert not await asked()
    assert await asked("--instance", "two")
    assert await asked(f"--socket={one.socket}")
    assert not await asked("--instance", "two", "--socket", str(one.socket))
    assert not await asked("--instance", "three")
    assert not await asked("--url", "http://127.0.0.1:1")
    monkeypatch.setenv("QCFEED_INSTANCE", "one")
    assert await asked()
    monkeypatch.setenv("QCFEED_INSTANCE", "three")
    assert not await asked()
    assert await asked("--instance", "one")


@pytest.mark.usefixtures("patient")
async def test_a_context_names_a_remote_service(
    watched: Watched,
    sleepers: Callable[..., None],
    tab: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    far = watched.serve("far", listen=("127.0.0.1", 0), token=tmp_path / "token")
    watched.serve("near")
    sleepers(1)
    file = tmp_path / "config.toml"
    file.write_text(
        f"[contexts.prod]\nurl = 'http://127.0.0.1:{far.port}'\n"
        f"token_file = '{tmp_path}/token'\n[contexts.wrong]\ninstance = 'nobody'\n"
    )

    async def asked(*words: str) -> list[str]:
        return await asyncio.to_thread(tab, "fish", "--config", str(file), *words)

    assert await asked("--context", "") == [
        f"prod\thttp://127.0.0.1:{far.port}", "wrong\tnobody",
    ]  # fmt: skip
    assert await asked("--context", "prod", "tasks", "show", "")
    assert not await asked("--context", "wrong", "tasks", "show", "")
    assert not await asked("--context", "nothing", "tasks", "show", "")
    assert not await asked("tasks", "show", ""), "two run here"
    file.write_text("[contexts")
    assert not await asked("--context", "")


def _reply(status: str, body: bytes) -> bytes:
    return f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _tasks(location: str) -> bytes:
    row = {"serial": 1, "age_s": 1, "location": location, "state": ""}
    return _reply("200 OK", json.dumps({"tasks": [row]}).encode())


@pytest.fixture
def stranger() -> Iterator[Callable[[bytes, bool], None]]:
    """Somebody who listens as the only instance, says something, and hangs up or does not."""
    path = paths.socket_path("stranger")
    path.parent.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    threads: list[threading.Thread] = []
    open_still: list[socket.socket] = []

    def say(words: bytes, stay: bool) -> None:
        def once() -> None:
            asker, _ = listener.accept()
            asker.sendall(words)
            open_still.append(asker)
            if not stay:
                asker.recv(65_536)
                asker.close()

        threads.append(threading.Thread(target=once))
        threads[-1].start()

    yield say
    for thread in threads:
        thread.join(PATIENCE)
    for each in (*open_still, listener):
        each.close()


@pytest.mark.parametrize(
    ("words", "stay"),
    [
        (b"", False),
        (b"", True),
        (b"HTTP/1.0 200 OK\r\n", True),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (_reply("500 Oh", b"{}"), False),
        (_reply("200 OK", b"no json"), False),
        (_reply("200 OK", b"[1]"), False),
        (_reply("200 OK", b'{"tasks": [{}]}'), False),
        (_reply("200 OK", b'{"tasks": [7]}'), False),
        (_tasks("\x1b[2J"), False),
        (_tasks("a\nb"), False),
    ],
)
def test_a_service_that_answers_wrongly_or_not_at_all_gives_no_values(
    stranger: Callable[[bytes, bool], None],
    tab: Callable[..., list[str]],
    words: bytes,
    stay: bool,
) -> None:
    stranger(words, stay)
    began = time.monotonic()
    assert tab("zsh", "tasks", "show", "") == []
    assert time.monotonic() - began < PATIENCE, "it would stay for ever"


@pytest.mark.usefixtures("patient")
def test_an_answer_with_unknown_fields_is_accepted(
    stranger: Callable[[bytes, bool], None], tab: Callable[..., list[str]]
) -> None:
    stranger(_tasks("a.py:1"), False)
    assert tab("zsh", "tasks", "show", "") == ["1:1.0s a.py:1 "]


@pytest.mark.usefixtures("patient")
def test_a_dead_socket_is_no_instance(tab: Callable[..., list[str]]) -> None:
    path = paths.socket_path("dead")
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert tab("fish", "--instance", "") == []


def imported_by(*asked: str) -> set[str]:
    code = (
        "import sys; sys.argv = ['qcfeed', '__complete', *sys.argv[1:]]\n"
        "from qcfeed.__main__ import run\n"
        "run(); print('\\nMODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *asked],
        env=untraced(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "asked", [("zsh", "ta"), ("fish", "tasks", "--site", ""), ("bash", BREAKS, "qcfeed -")]
)
def test_the_command_line_is_not_imported(asked: tuple[str, ...]) -> None:
    """Nor anything else that takes its time; with a service's answer to read, neither."""
    modules = imported_by(*asked)
    assert "qcfeed.cli.complete.answer" in modules
    assert modules.isdisjoint(HEAVY | TYPING | {"qcfeed.cli.main"})


def test_completion_does_not_contact_a_remote_service_without_its_context() -> None:
    modules = imported_by("fish", "--url", "http://127.0.0.1:1", "tasks", "show", "")
    assert "qcfeed.control.paths" in modules
    assert modules.isdisjoint(HEAVY | {"qcfeed.cli.main", "qcfeed.control.client"})


async def test_drills_are_known_without_a_service_and_with_several(
    watched: Watched, tab: Callable[..., list[str]]
) -> None:
    without = await asyncio.to_thread(tab, "fish", "drill", "start", "")
    assert any(line.startswith("zombie-feeds\t") for line in without)
    watched.serve("one")
    watched.serve("two")
    assert await asyncio.to_thread(tab, "fish", "drill", "start", "") == without
