"""Streams that cannot be written, users without a home, directories that cannot be read or made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, environment, serving, sound

FULL = Path("/dev/full")
COMMANDS = ("status", "tasks -o json", "tasks -o csv", "doctor", "config show", "--version",
            "--help", "tasks --help", "runbook", "artifacts rules", "completion bash", "diagnose --window 1s")  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with serving(home, "--no-monitor"):
        yield home


def shell(home: Path, line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh; ``qcfeed`` is ours."""
    env = environment(home) | variables
    done = subprocess.run(
        ["sh", "-c", f'qcfeed() {{ "{QCFEED}" "$@"; }}; {line}'],
        env={name: value for name, value in env.items() if value != "(unset)"},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("target", [">&-", "> /dev/full"])
def test_results_that_cannot_be_written_are_an_error(home: Path, command: str, target: str) -> None:
    done = shell(home, f"qcfeed {command} {target}")
    assert done.returncode == 2, done.stderr
    why = "Bad file descriptor" if target == ">&-" else "No space left on device"
    assert f"cannot write the results to stdout: {why}" in done.stderr


@pytest.mark.parametrize("target", ["2>&-", "2> /dev/full"])
def test_messages_that_cannot_be_written_change_no_status(home: Path, target: str) -> None:
    sound(lambda: shell(home, f"qcfeed status {target}"))
    assert shell(home, f"qcfeed orphans {target}").returncode == 0
    assert shell(home, f"qcfeed nonsense {target}").returncode == 2
    assert shell(home, f"qcfeed tasks show 999999 {target}").returncode == 2


def test_all_streams_closed(home: Path) -> None:
    assert shell(home, "qcfeed status <&- >&- 2>&-").returncode == 2
    sound(lambda: shell(home, "qcfeed status <&- >/dev/null 2>&-"))


def test_a_service_needs_no_streams(tmp_path: Path) -> None:
    line = (
        f"'{QCFEED}' serve --port 0 --no-monitor <&- >&- 2>&- & pid=$!;"
        " until qcfeed status > status 2>/dev/null; do :; done; kill $pid; wait $pid; echo $?"
    )
    done = shell(tmp_path, f"cd {tmp_path}; {line}")
    assert done.stdout == "0\n"
    assert "upstream" in (tmp_path / "status").read_text()


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("status", 0, ""),
        ("config show", 0, ""),
        ("serve --port 0 --no-monitor", 3, "this user has no home directory"),
        ("growth --prometheus http://h --prometheus-token-file '~/x'", 2, "no home directory"),
        ("serve --upstream 'replay:~/x'", 2, "no home directory"),
        ("config init", 2, "no home directory"),
        ("config check", 2, "no home directory"),
        ("config contexts", 2, "no home directory"),
        ("--context prod status", 2, "no home directory"),
    ],
)
def test_a_user_without_a_home(home: Path, command: str, status: int, words: str) -> None:
    """HOME is not set, and the password file has no such user."""
    program = (
        "import os, sys, pwd;"
        "pwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid));"
        "sys.argv[0] = 'qcfeed';"
        "from qcfeed.cli.main import run; run()"
    )
    python = f"{Path(QCFEED).parent / 'python'}"
    run = f"env -u HOME -u XDG_CONFIG_HOME -u XDG_STATE_HOME '{python}' -c \"{program}\""
    done = shell(home, f"{run} {command}")
    assert done.returncode == status, done.stderr
    assert words in done.stderr


def test_no_temporary_directory(tmp_path: Path) -> None:
    program = (
        "import sys, tempfile;"
        "tempfile._candidate_tempdir_list = lambda: [];"
        "sys.argv[0] = 'qcfeed';"
        "from qcfeed.cli.main import run; run()"
    )
    python = f"{Path(QCFEED).parent / 'python'}"
    for command in (
        "status",
        "serve --port 0 --no-monitor",
        "tasks",
        "drill rehearse zombie-feeds",
    ):
        done = shell(tmp_path, f"unset XDG_RUNTIME_DIR; '{python}' -c \"{program}\" {command}")
        assert done.returncode in (2, 3), done.stderr
        assert "directory" in done.stderr


def test_a_runtime_directory_that_cannot_be_read(tmp_path: Path) -> None:
    """A loop of links, which root cannot read either."""
    (tmp_path / "qcfeed").symlink_to("qcfeed")
    done = shell(tmp_path, "qcfeed status", XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 4
    assert "cannot look for services in" in done.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root can read every directory")
def test_a_runtime_directory_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "qcfeed").mkdir(mode=0)
    done = shell(tmp_path, "qcfeed status", XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 4
    assert "Permission denied" in done.stderr
