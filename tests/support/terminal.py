"""A real terminal, by tmux: what a person types, and what is on the screen then."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.shell import environment, until


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
        """Wait for words on the screen; the screen that has them."""
        return self.wait(lambda screen: words in screen, repr(words))

    def wait(self, condition: Callable[[str], bool], what: str) -> str:
        """The first screen for which the condition holds."""
        screen = ""

        def holds() -> bool:
            nonlocal screen
            screen = self.screen
            return condition(screen)

        try:
            until(holds, what)
        except AssertionError as error:
            error.add_note(screen)
            raise
        return screen

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
