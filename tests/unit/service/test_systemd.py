from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.service.systemd import Notifier
from tests.support.patience import PATIENCE
from tests.support.running_service import until


class Manager:
    """A fake systemd: a datagram socket that records when each message arrives."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(PATIENCE)
        self.heard: list[tuple[float, str]] = []
        self._over = threading.Event()
        self._ear = threading.Thread(target=self._listen)
        self._ear.start()

    def _listen(self) -> None:
        while message := self.socket.recv(4096).decode():
            self.heard.append((time.monotonic(), message))

    def messages(self, word: str) -> list[float]:
        return [at for at, message in list(self.heard) if message.startswith(word)]

    def mark(self, word: str) -> None:
        """Insert a message of the test's own, in order with the others."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(word.encode(), self.socket.getsockname())

    def close(self) -> None:
        self.mark("")
        self._ear.join(PATIENCE)
        self.socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


def environment(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.socket.getsockname(), **more}


async def until_heard(manager: Manager, word: str, number: int) -> None:
    await until(lambda: len(manager.messages(word)) >= number, f"{number} times {word}")


async def test_without_a_manager_nothing_is_sent() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000"})
    notifier.ready("")
    notifier.stopping("")
    assert not notifier.sends_keep_alives


async def test_ready_watchdog_and_stopping_are_sent(manager: Manager) -> None:
    notifier = Notifier(environment(manager, WATCHDOG_USEC="20000", WATCHDOG_PID=str(os.getpid())))
    notifier.ready("serves sim:")
    await until_heard(manager, "WATCHDOG=1", 3)
    notifier.stopping("draining")
    await until_heard(manager, "WATCHDOG=1", len(manager.messages("WATCHDOG=1")) + 2)
    notifier.close()
    said = [message for _, message in manager.heard if message != "WATCHDOG=1"]
    assert said == ["READY=1\nSTATUS=serves sim:", "STOPPING=1\nSTATUS=draining"]


async def test_a_stuck_loop_sends_no_watchdog_messages(manager: Manager) -> None:
    notifier = Notifier(environment(manager, WATCHDOG_USEC="20000"))
    notifier.ready("")
    await until_heard(manager, "WATCHDOG=1", 2)
    manager.mark("the loop stops")
    time.sleep(0.5)  # noqa: ASYNC251 - that is the fault
    manager.mark("the loop goes on")
    await until_heard(manager, "the loop goes on", 1)
    beats = len(manager.messages("WATCHDOG=1"))
    await until_heard(manager, "WATCHDOG=1", beats + 1)
    notifier.close()
    said = [message for _, message in manager.heard]
    assert said[said.index("the loop stops") + 1] == "the loop goes on"


@pytest.mark.parametrize(
    "more",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}],
)
async def test_no_watchdog_messages_are_sent_unless_requested(
    manager: Manager, more: dict[str, str]
) -> None:
    notifier = Notifier(environment(manager, **more))
    notifier.ready("")
    assert not notifier.sends_keep_alives
    await until_heard(manager, "READY=1", 1)


async def test_an_abstract_name() -> None:
    manager = Manager(f"\0qcfeed-test-{os.getpid()}")
    try:
        Notifier({"NOTIFY_SOCKET": f"@qcfeed-test-{os.getpid()}"}).ready("")
        await until_heard(manager, "READY=1", 1)
    finally:
        manager.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"NOTIFY_SOCKET": "/nowhere/notify"}, "cannot notify systemd of READY=1: No such file"),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, "unsupported kind of NOTIFY_SOCKET: vsock:2:1"),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC is not a number: 'soon'"),
    ],
)
async def test_a_failing_notification_is_only_logged(
    given: dict[str, str], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(given).ready("")
    assert says in caplog.text


async def test_a_manager_that_does_not_read_does_not_block_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for _ in range(100_000):
            notifier.stopping("x" * 1000)
            if "cannot notify systemd of STOPPING=1" in caplog.text:
                return
    raise AssertionError("its buffer never filled")
