"""Children of the supervisor, as real processes: what they say, and that none outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from qcfeed.errors import StartError
from qcfeed.workers import child_process, launch
from qcfeed.workers.broker import Broker
from qcfeed.workers.child_process import ChildProcess, Readiness
from tests.support.patience import PATIENCE
from tests.support.processes import has_ended
from tests.support.shell import until

ENVIRONMENT = {"PATH": os.environ["PATH"]}


async def start(code: str, lines: list[str] | None = None) -> ChildProcess:
    heard = [] if lines is None else lines
    return await child_process.start((sys.executable, "-c", code), ENVIRONMENT, heard.append)


async def test_lines_are_read_whatever_they_are() -> None:
    lines: list[str] = []
    child = await start(
        "import sys; w = sys.stderr.buffer.write; w(b'one\\ntwo\\r\\n\\xff\\n' + b'x' * 20000 + b'\\nend')",
        lines,
    )
    async with asyncio.timeout(PATIENCE):
        assert await child.wait() == 0
    assert lines[:3] == ["one", "two", "\\xff"]
    assert "".join(lines[3:-1]) == "x" * 20_000, "a long line comes in pieces"
    assert lines[-1] == "end"


async def test_it_is_asked_to_end_and_killed_if_it_does_not() -> None:
    polite = await start("import time; time.sleep(3600)")
    assert await polite.end(PATIENCE) == -signal.SIGTERM
    lines: list[str] = []
    stubborn = await start(
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', file=sys.stderr, flush=True); time.sleep(3600)",
        lines,
    )
    async with asyncio.timeout(PATIENCE):
        while not lines:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await stubborn.end(0.1) == -signal.SIGKILL


async def test_a_stopped_process_is_ended_too() -> None:
    child = await start("import time; time.sleep(3600)")
    child.signal(signal.SIGSTOP)
    assert await child.end(PATIENCE) == -signal.SIGTERM


async def test_a_grandchild_that_holds_the_output_does_not_hold_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_process, "_OUTPUT_TIMEOUT", 0.1)
    lines: list[str] = []
    child = await start(
        "import os, subprocess, sys;"
        "p = subprocess.Popen(['sleep', '3600']); print(p.pid, file=sys.stderr)",
        lines,
    )
    async with asyncio.timeout(PATIENCE):
        assert await child.wait() == 0
    os.kill(int(lines[0]), signal.SIGKILL)


async def test_a_program_that_is_not_there_ends_with_a_message() -> None:
    lines: list[str] = []
    child = await child_process.start(("/no/such/program",), ENVIRONMENT, lines.append)
    async with asyncio.timeout(PATIENCE):
        assert await child.wait() == 1
    assert lines == ["cannot run /no/such/program: No such file or directory"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_child_outlives_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    code = f"""if True:
        import os, subprocess, sys, time
        launch = [sys.executable, "-I", "-S", {launch.__file__!r}, str(os.getpid()), "sleep", "3600"]
        child = subprocess.Popen(launch, start_new_session=True)
        open({str(tmp_path / "pid")!r}, "w").write(f"{{child.pid}}.")
        time.sleep(3600)
    """
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        file = tmp_path / "pid"
        until(lambda: file.exists() and file.read_text().endswith("."), "the child")
        child = psutil.Process(int(file.read_text()[:-1]))
        until(lambda: child.name() == "sleep", "the child's program")
    finally:
        parent.send_signal(how)
        parent.wait(PATIENCE)
    until(lambda: has_ended(child), "its end")


def test_a_child_of_a_parent_that_is_gone_already_does_not_start() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", launch.__file__, "1", "sleep", "3600"],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the parent has ended" in done.stderr


async def test_readiness_waits_for_the_word(tmp_path: Path) -> None:
    readiness = Readiness(tmp_path / "ready")
    waiting = asyncio.create_task(readiness.wait())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for message in (b"STATUS=READY=1", b"NOT\nREADY=10"):
            sender.sendto(message, str(readiness.path))
        await asyncio.sleep(0)
        assert not waiting.done()
        sender.sendto(b"STATUS=x\nREADY=1", str(readiness.path))
    await asyncio.wait_for(waiting, PATIENCE)
    readiness.close()
    assert not readiness.path.exists()


async def test_a_broker_keeps_its_port_and_tells_only_what_is_serious(tmp_path: Path) -> None:
    pytest.importorskip("nats", reason="it is the cluster extra: pip install 'qcfeed[cluster]'")
    lines: list[str] = []
    broker = Broker(tmp_path, "test-nats", lines.append)
    first = await broker.start()
    url = broker.url
    await first.kill()
    second = await broker.start()
    assert broker.url == url
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        assert b'"auth_required":true' in client.recv(4_096)
    await second.end(PATIENCE)
    assert lines == []
    assert (tmp_path / "nats.conf").stat().st_mode & 0o077 == 0


async def test_a_broker_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nats-server"
    program.write_text(
        "#!/bin/sh\necho '[1] [INF] hello' >&2; echo '[1] [FTL] no space' >&2; exit 1"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(StartError, match=r"did not start: \[1\] \[FTL\] no space"):
        await Broker(tmp_path, "x", lambda _: None).start()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sysconfig.get_path", lambda _: "/nowhere")
    with pytest.raises(StartError, match="there is none on the PATH") as caught:
        Broker(tmp_path, "x", lambda _: None)
    assert "qcfeed[cluster]" in (caught.value.hint or "")
