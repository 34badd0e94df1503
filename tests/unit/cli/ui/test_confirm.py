from __future__ import annotations

import io
import sys

import pytest

from qcfeed.cli.ui.confirm import confirm
from qcfeed.errors import NeedsConfirmationError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ask(monkeypatch: pytest.MonkeyPatch, typed: str) -> str:
    """The prompt that is shown when ``typed`` is the answer."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", prompt := Terminal())
    confirm("cancel 2 tasks", hint="--yes does it", refused="nothing was cancelled")
    return prompt.getvalue()


@pytest.mark.parametrize("typed", ["y\n", "Y\n", " yes \n"])
def test_yes_continues(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    assert ask(monkeypatch, typed) == "cancel 2 tasks? [y/N] "


@pytest.mark.parametrize("typed", ["\n", "n\n", "", "yess\n", "sure\n"])
def test_any_other_answer_refuses(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    with pytest.raises(NeedsConfirmationError, match="nothing was cancelled"):
        ask(monkeypatch, typed)


def test_without_a_terminal_it_refuses_and_names_the_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(NeedsConfirmationError, match="this would cancel 2 tasks") as refused:
        confirm("cancel 2 tasks", hint="--yes does it", refused="nothing was cancelled")
    assert refused.value.hint == "nothing was done; --yes does it"
