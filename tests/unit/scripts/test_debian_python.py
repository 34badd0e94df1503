"""Debian's Python in a separate folder: when it is downloaded, and the error if it is not available.

That the whole way works is tried where it is used: `make test-versions` runs tests on what it fetches.
"""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import debian_python
import pytest

COMPLETE = ".complete"


@pytest.fixture
def no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without apt-get, on which a download fails."""
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as a download leaves it."""
    root = tmp_path / "python3.99"
    (root / "usr/bin").mkdir(parents=True)
    (root / COMPLETE).write_text(str(root))
    return root


@pytest.mark.usefixtures("no_tools")
def test_an_existing_interpreter_is_not_fetched_again(made: Path) -> None:
    assert debian_python.fetch("3.99", str(made)) == str(made / "usr/bin/python3.99")


@pytest.mark.usefixtures("no_tools")
def test_an_incomplete_folder_is_fetched_again(made: Path) -> None:
    (made / COMPLETE).unlink()
    with pytest.raises(debian_python.UnavailableError, match="apt-get is not installed"):
        debian_python.fetch("3.99", str(made))
    assert not made.exists()


@pytest.mark.usefixtures("no_tools")
def test_a_moved_folder_is_fetched_again(made: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "python3.99"
    shutil.copytree(made, moved)
    with pytest.raises(debian_python.UnavailableError, match="apt-get is not installed"):
        debian_python.fetch("3.99", str(moved))


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is not here")
def test_an_unreachable_archive_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with socket.socket() as taken:  # and nobody listens on it
        taken.bind(("127.0.0.1", 0))
        archive = f"http://127.0.0.1:{taken.getsockname()[1]}/debian"
        with pytest.raises(debian_python.UnavailableError) as raised:
            debian_python.download("3.99", archive, str(tmp_path / "apt"))
    for suite in debian_python.SUITES:
        assert f"Debian {suite}: apt-get update failed: " in str(raised.value)
