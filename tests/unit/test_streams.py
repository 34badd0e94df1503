"""Messages on a terminal: lines are broken between words, commands stay whole."""

from __future__ import annotations

import sys

import pytest

from qcfeed.streams import write_message


class Terminal:
    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def written(monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """What a terminal of 40 columns gets."""
    terminal = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        patched.setenv("COLUMNS", "40")
        write_message(text)
    return terminal.text


def test_lines_are_broken_between_words_and_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "finding: 60 orphaned tasks, 0 orphaned subscriptions\n  next: short\n"
    assert written(monkeypatch, text) == (
        "finding: 60 orphaned tasks, 0 orphaned\n  subscriptions\n  next: short\n"
    )


def test_a_command_is_never_broken_so_that_it_can_be_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = "`qcfeed --context production orphans --reap`"
    text = written(monkeypatch, f"60 orphans: {command} cancels exactly these\n")
    assert command in text
    assert text.splitlines()[-1] == "  cancels exactly these"


def test_in_a_pipe_lines_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    write_message("word " * 100 + "\n")
    assert capsys.readouterr().err == "word " * 100 + "\n"
