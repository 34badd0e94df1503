"""Which Python `make` uses for its environment, whatever `python3` is."""

from __future__ import annotations

import sys
from pathlib import Path

import bootstrap
import interpreters
import pytest

THIS = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no other Python and no apt-get."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(interpreters, "TOOLS", str(tmp_path))


def supports(monkeypatch: pytest.MonkeyPatch, *versions: str) -> None:
    monkeypatch.setattr(interpreters, "supported", lambda: list(versions))


@pytest.mark.usefixtures("bare")
def test_the_running_interpreter_is_used_if_supported() -> None:
    assert bootstrap.choose() == (sys.executable, THIS)


@pytest.mark.usefixtures("bare")
def test_a_newer_interpreter_is_used_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    supports(monkeypatch, "3.1", "3.2")
    assert bootstrap.choose() == (sys.executable, THIS)
    assert capsys.readouterr().err == f"Python {THIS}: qcfeed was tried with 3.1 to 3.2\n"


@pytest.mark.usefixtures("bare")
def test_an_old_interpreter_is_replaced_by_one_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    supports(monkeypatch, "3.98", "3.99")
    newer = tmp_path / "python3.98"
    newer.write_text("#!/bin/sh\necho 3.98 cpython 0\n")
    newer.chmod(0o755)
    assert bootstrap.choose() == (str(newer), "3.98")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("this", "why"),
    [
        (
            interpreters.Interpreter("3.9", is_standard=True),
            "cpython 3.9, qcfeed needs 3.98 or later",
        ),
        (interpreters.Interpreter("3.98", is_standard=False), "not the standard build of CPython"),
    ],
)
def test_without_an_interpreter_the_error_names_the_reason_and_the_fix(
    this: interpreters.Interpreter,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    supports(monkeypatch, "3.98", "3.99")
    monkeypatch.setattr(interpreters, "describe", {sys.executable: this}.get)
    with pytest.raises(SystemExit) as left:
        bootstrap.choose()
    assert why in capsys.readouterr().err
    message = str(left.value.code)
    assert (
        "Python 3.99 could not be downloaded: it is downloaded from Debian, and apt-get is not installed"
        in message
    )
    assert message.endswith("hint: install CPython 3.98 to 3.99, then `make PYTHON=python3.99 ...`")


def test_an_environment_without_its_python_is_recreated(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip").touch()
    python = tmp_path / "bin" / "python"
    python.symlink_to(sys.executable)
    assert bootstrap.is_made(str(tmp_path), THIS)
    assert not bootstrap.is_made(str(tmp_path), "3.98")
    python.unlink()
    python.symlink_to(tmp_path / "removed")
    assert not bootstrap.is_made(str(tmp_path), THIS)
