"""TAB pressed in the three real shells, on a terminal, with a service, a stuck one, two, and none."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving, until
from tests.support.websockets_client import connect

COMPLETIONS = Path(__file__).parents[2] / "completions"
START = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
SHOW = {
    "bash": """shown() { printf 'word{%s}' "$@"; echo .; }""",
    "zsh": """shown() { printf 'word{%s}' "$@"; echo .; }""",
    "fish": """function shown; printf 'word{%s}' $argv; echo .; end""",
}
"""A command that tells its words apart, in a way that no echo of a typed line looks like."""

HOME_KEY, CLEAR_LINE = "\x01", "\x15"


class Shell:
    """An interactive shell in which the completions of the checkout are loaded."""

    def __init__(self, name: str, home: Path) -> None:
        env = environment(home) | {"TERM": "xterm", "PS1": "> ", "SHELL_SESSIONS_DISABLE": "1"}
        self.child = pexpect.spawn(
            name, START[name], env=env, encoding="utf-8", dimensions=(40, 200),
            timeout=PATIENCE, cwd=str(home),
        )  # fmt: skip
        if name == "zsh":
            self.child.sendline("autoload -Uz compinit && compinit -u -D")
        self.child.sendline(SHOW[name])
        self.child.sendline(f"source {COMPLETIONS}/qcfeed.{name}; echo load''ed")
        self.child.expect("loaded")

    def tab(self, typed: str) -> list[str]:
        """The words of the line after TAB, as the shell would give them to the program.

        It says so itself: the line gets ``shown`` in front, and is entered.
        """
        self.child.send(f"{typed}\t{HOME_KEY}shown \r")
        self.child.expect(r"((word\{[^}%]*\})+)\.")
        return re.findall(r"word\{([^}]*)\}", self.child.match[1])

    def gets(self, typed: str, wanted: list[str]) -> None:
        """Press TAB until it gives what the service knows: a busy one may miss its 200 ms."""
        until(lambda: self.tab(typed) == wanted, f"{wanted} from {typed!r} and TAB")

    def close(self) -> None:
        self.child.close(force=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, "--no-monitor", before=("--instance", "night")) as service:
        yield service


@pytest.fixture(scope="module", params=START)
def shell(request: pytest.FixtureRequest, home: Path) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed: scripts/system_parts.sh")
    shell = Shell(request.param, home)
    yield shell
    shell.close()


@pytest.fixture
def location(service: Serving, home: Path) -> str:
    """The one line that a quiet service has spawned a task from."""
    return qcfeed(home, "tasks", "--by-location", "-o", "name").stdout.split()[0]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("qcfeed orph", ["qcfeed", "orphans"]),
        ("qcfeed tasks --by-l", ["qcfeed", "tasks", "--by-location"]),
        ("qcfeed feeds c", ["qcfeed", "feeds", "cancel"]),
        ("qcfeed completion z", ["qcfeed", "completion", "zsh"]),
        ("qcfeed tasks -o js", ["qcfeed", "tasks", "-o", "json"]),
        ("qcfeed tasks --output=js", ["qcfeed", "tasks", "--output=json"]),
        (f"{QCFEED} orph", [str(QCFEED), "orphans"]),
    ],
)
def test_words_of_the_command_line(shell: Shell, typed: str, completed: list[str]) -> None:
    assert shell.tab(typed) == completed


def test_values_come_from_the_running_service(shell: Shell, service: Serving, home: Path) -> None:
    shell.gets("qcfeed --instance ni", ["qcfeed", "--instance", "night"])
    shell.gets("qcfeed watch GOOG", ["qcfeed", "watch", "GOOG"])
    shell.gets("qcfeed watch GOOGL BRK.", ["qcfeed", "watch", "GOOGL", "BRK.B"])
    with connect(f"{service.url}/quotes/BRK.B") as reader:
        reader.recv(timeout=PATIENCE)
        shell.gets("qcfeed feeds cancel B", ["qcfeed", "feeds", "cancel", "BRK.B"])
    [serial, *_] = qcfeed(home, "tasks", "-o", "name").stdout.split()
    shell.gets("qcfeed tasks show ", ["qcfeed", "tasks", "show", serial])


def test_a_location_has_slashes_and_a_colon(shell: Shell, service: Serving, location: str) -> None:
    before_colon, _, line = location.partition(":")
    for typed in (location[:-4], before_colon, f"{before_colon}:", f"{before_colon}:{line[0]}"):
        wanted = ["qcfeed", "tasks", "--site", location]
        shell.gets(f"qcfeed tasks --site {typed}", wanted)
        wanted = ["qcfeed", "tasks", f"--site={location}"]
        shell.gets(f"qcfeed tasks --site={typed}", wanted)
    end = location.rpartition("/")[2]
    shell.gets(f"qcfeed tasks --site {end[:5]}", ["qcfeed", "tasks", "--site", end])
    wanted = ["qcfeed", "tasks", "--site", location]
    shell.gets(f'qcfeed tasks --site "{location[:-1]}', wanted)


def test_file_names_are_completed_by_the_shell(shell: Shell, home: Path) -> None:
    (home / "a saved snapshot.json").touch()
    wanted = ["qcfeed", "tasks", "--from", "a saved snapshot.json"]
    assert shell.tab("qcfeed tasks --from a") == wanted


def test_a_service_that_does_not_answer_is_no_answer_at_once(
    shell: Shell, service: Serving
) -> None:
    service.process.send_signal(signal.SIGSTOP)
    try:
        assert shell.tab("qcfeed --instance night tasks show ")[-1] == "show"
        assert shell.tab("qcfeed tasks --site qc")[-1] == "qc"
        assert shell.tab("qcfeed orph") == ["qcfeed", "orphans"]
    finally:
        service.process.send_signal(signal.SIGCONT)


def test_of_two_services_the_named_one_gives_the_values(
    shell: Shell, service: Serving, home: Path, location: str
) -> None:
    with serving(home, "--no-monitor", before=("--instance", "day")):
        shell.gets("qcfeed --instance d", ["qcfeed", "--instance", "day"])
        assert shell.tab("qcfeed tasks --site qc")[-1] == "qc"
        shell.gets(
            f"qcfeed --instance night tasks --site {location[:-1]}",
            ["qcfeed", "--instance", "night", "tasks", "--site", location],
        )


def test_without_a_service_nothing_is_printed(tmp_path: Path) -> None:
    (tmp_path / "qc-file").touch()
    for name in START:
        if shutil.which(name) is None:
            continue
        shell = Shell(name, tmp_path)
        try:
            assert shell.tab("qcfeed tasks --site qc") == ["qcfeed", "tasks", "--site", "qc"]
            assert shell.tab("qcfeed feeds cancel q") == ["qcfeed", "feeds", "cancel", "q"]
            assert shell.tab("qcfeed feeds c") == ["qcfeed", "feeds", "cancel"]
        finally:
            shell.close()


def test_bash_finds_the_command_behind_others(home: Path, service: Serving) -> None:
    shell = Shell("bash", home)
    try:
        shell.child.sendline("alias noop=:; ls qc-nothing 2>/dev/null")
        line = "true && QCFEED_INSTANCE=night qcfeed tasks --site qcfeed/service/r"

        def completed() -> bool:
            shell.child.send(f"{CLEAR_LINE}{line}\t")
            return shell.child.expect([pexpect.TIMEOUT, r"qcfeed/service/run\.py:\d+"], 1) == 1

        until(completed, "the location after TAB")
    finally:
        shell.close()
