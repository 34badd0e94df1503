"""The list of supported Pythons, and how one is found on a machine."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import interpreters
import pytest

ROOT = Path(__file__).parents[3]
THIS = ".".join(map(str, sys.version_info[:2]))


def program(path: Path, script: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_supported_versions_are_contiguous_and_start_at_requires_python() -> None:
    supported = [interpreters.number(each) for each in interpreters.supported()]
    assert supported == [(3, minor) for minor in range(supported[0][1], supported[-1][1] + 1)]
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = interpreters.supported()[0]
    assert pyproject["project"]["requires-python"] == f">={oldest}"
    assert pyproject["tool"]["mypy"]["python_version"] == oldest
    assert pyproject["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_pages_name_the_same_versions(page: str) -> None:
    supported = interpreters.supported()
    assert f"CPython {supported[0]} to {supported[-1]}" in (ROOT / page).read_text()


def test_the_running_interpreter_is_found_first() -> None:
    assert interpreters.find_here(THIS) == sys.executable


def test_an_interpreter_that_does_not_run_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pyenv shim of a version that is not selected."""
    shim = program(
        tmp_path / "bin" / "python3.99", "echo 'python3.99: command not found' >&2; exit 127"
    )
    behind = program(tmp_path / "pyenv/versions/3.99.1/bin/python", "echo 3.99 cpython 0")
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert interpreters.describe(str(shim)) is None
    assert interpreters.find_here("3.99") == str(behind)


@pytest.mark.parametrize("described", ["3.99 cpython 1", "3.99 pypy 0", "3.98 cpython 0"])
def test_another_build_or_version_is_not_used(
    described: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = program(tmp_path / "python3.99", f"echo {described}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreters.find_here("3.99") is None
    program(named, "echo 3.99 cpython 0")
    assert interpreters.find_here("3.99") == str(named)


def test_the_newest_pyenv_release_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("3.99.2", "3.99.10", "3.99.11t", "3.99-dev", "3.9.20"):
        program(tmp_path / "versions" / name / "bin" / "python", "echo 3.99 cpython 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreters.find_here("3.99") == str(tmp_path / "versions/3.99.10/bin/python")


def test_no_interpreter_is_available(tmp_path: Path) -> None:
    assert interpreters.describe(str(tmp_path / "python3.99")) is None
