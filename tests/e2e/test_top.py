"""``qcfeed top`` in a real terminal, beside a real service with the incident's own fault."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, environment, qcfeed, serving, until

ZOMBIES = 2_000


class Terminal:
    """A tmux session with one shell in it."""

    def __init__(self, socket: Path, home: Path, size: tuple[int, int]) -> None:
        self._tmux = ["tmux", "-L", "qcfeed", "-S", str(socket), "-f", "/dev/null"]
        self._env = environment(home) | {"TERM": "xterm-256color", "PS1": "$ ", "LC_ALL": "C.UTF-8"}
        width, height = map(str, size)
        self._call("new-session", "-d", "-x", width, "-y", height, "sh")

    def _call(self, *args: str) -> str:
        done = subprocess.run(
            [*self._tmux, *args], env=self._env, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def type(self, line: str) -> None:
        self._call("send-keys", "-l", line)
        self._call("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        self._call("send-keys", *keys)

    @property
    def screen(self) -> str:
        return self._call("capture-pane", "-p")

    @property
    def painted(self) -> str:
        """With its escape sequences."""
        return self._call("capture-pane", "-p", "-e")

    def see(self, words: str) -> str:
        """Wait for words on the screen; the screen."""
        self.wait(lambda screen: words in screen, repr(words))
        return self.screen

    def wait(self, condition: Callable[[str], bool], what: str) -> None:
        try:
            until(lambda: condition(self.screen), what)
        except AssertionError as error:
            error.add_note(self.screen)
            raise

    def modes(self) -> str:
        """Whether the terminal is as a shell needs it: alternate screen, mouse, cursor."""
        shown = ("alternate_on", "mouse_any_flag", "cursor_flag", "bracket_paste_flag")
        return self._call("display-message", "-p", " ".join(f"#{{{each}}}" for each in shown[:3]))

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=PATIENCE)


@contextlib.contextmanager
def terminal(home: Path, size: tuple[int, int] = (80, 24)) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    session = Terminal(home / "tmux", home, size)
    try:
        yield session
    finally:
        session.end()


def test_the_incident_from_the_guilty_line_to_its_end(tmp_path: Path) -> None:
    arguments = ("--no-monitor", "--upstream", "sim:?rate=1", "--drill", f"zombie-feeds={ZOMBIES}")
    with serving(tmp_path, *arguments), terminal(tmp_path) as seat:
        seat.type(f"{shlex.quote(str(QCFEED))} top --every 0.5; echo left $?")
        seat.see("2,000 orphaned")
        screen = seat.see("LEAK  2,000 tasks from qcfeed/service/drills/zombies.py")
        assert max(map(len, screen.splitlines())) <= 80
        guilty = next(
            line
            for line in screen.splitlines()
            if "drills/zombies.py" in line and "LEAK" not in line
        )
        assert guilty.split()[1] == guilty.split()[4] == "2,000"
        seat.press("r")
        seat.see("reap 2,000 orphans? [y/N]")
        seat.press("y")
        seat.see("cancelled          2,000 tasks")
        seat.press("Escape")
        seat.see("0 orphaned")
        seat.wait(lambda text: "LEAK" not in text, "no finding")
        assert seat.modes().split() == ["1", "0", "0"]
        seat.press("q")
        seat.see(f"left {ExitStatus.OK:d}")
        assert "orphaned" not in seat.screen
        assert seat.modes().split() == ["0", "0", "1"]
        seat.type("stty -a")
        seat.see(" icanon")
        assert " echo " in seat.screen
        audit = qcfeed(tmp_path, "orphans")
        assert audit.returncode == ExitStatus.OK


def test_it_outlives_the_service_and_quits_at_once_when_it_says_nothing(tmp_path: Path) -> None:
    with terminal(tmp_path) as seat:
        with serving(tmp_path, "--no-monitor", "--upstream", "sim:", before=("--instance", "a")):
            seat.type(f"NO_COLOR=1 {shlex.quote(str(QCFEED))} top --every 0.5; echo left $?")
            seat.see("HEALTHY")
        seat.see("AWAY for")
        with serving(
            tmp_path, "--no-monitor", "--upstream", "sim:", before=("--instance", "a")
        ) as again:
            seat.see("restarted 1 time since")
            assert "AWAY" not in seat.screen
            assert not re.search(r"\x1b\[(3[0-7]|4[0-7]|[34]8;|9\d)", seat.painted)
            again.process.send_signal(signal.SIGSTOP)  # it is there, and says nothing
            seat.see("SILENT for")
            seat.press("q")
            seat.see(f"left {ExitStatus.OK:d}")


@pytest.mark.parametrize("args", [[], ["--every", "5"]])
def test_without_a_terminal_it_says_what_to_type(tmp_path: Path, args: list[str]) -> None:
    left = qcfeed(tmp_path, "top", *args)
    assert left.returncode == ExitStatus.USAGE
    assert "qcfeed diagnose" in left.stderr
    assert left.stdout == ""


def test_a_terminal_without_a_cursor_is_told_so(tmp_path: Path) -> None:
    with terminal(tmp_path) as seat:
        seat.type(f"TERM=dumb {shlex.quote(str(QCFEED))} top; echo left $?")
        seat.see(f"left {ExitStatus.USAGE:d}")
        assert "TERM=dumb" in seat.see("qcfeed diagnose")
