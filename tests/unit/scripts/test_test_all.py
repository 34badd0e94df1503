"""What `make test-all` runs on which Python, and its summary."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import interpreters
import pytest
import test_all

THIS = ".".join(map(str, sys.version_info[:2]))


def test_ends_selects_the_oldest_and_the_two_newest_versions() -> None:
    supported = interpreters.supported()
    assert test_all.chosen("all") == supported
    assert test_all.chosen("ends") == [supported[0], supported[-2], supported[-1]]
    assert test_all.chosen(f"{supported[2]},{supported[1]}") == [supported[2], supported[1]]
    with pytest.raises(argparse.ArgumentTypeError, match=r"3\.4 is not one of 3\.11, "):
        test_all.chosen("3.4")


@pytest.mark.parametrize(
    ("results", "status"),
    [
        (["passed (1 s)", "not here: no apt-get"], 0),
        (["passed (1 s)", "FAILED (1 s)"], 1),
        (["FAILED: no environment"], 1),
        (["not here: no apt-get"], 1),
        (["all tests have run on it (.venv)", "not here: no apt-get"], 0),
    ],
)
def test_it_fails_when_a_version_fails_or_no_version_is_available(
    results: list[str], status: int
) -> None:
    assert test_all.exit_status(results) == status


def test_the_summary_lists_earlier_runs_and_missing_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(interpreters, "TOOLS", str(tmp_path))
    monkeypatch.setattr(interpreters, "supported", lambda: [THIS, "3.99"])
    assert test_all.main(["--ran", sys.prefix]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Python {THIS}: all tests have run on it ({sys.prefix})",
        "Python 3.99: not here: it is downloaded from Debian, and apt-get is not installed",
    ]
