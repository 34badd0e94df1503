"""The commands on a real terminal of 80 columns: what fits and what is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving
from tests.support.websockets_client import connect

COLUMNS = 80


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, "--no-monitor", "--linger", "0.1") as service:
        yield service


def terminal(home: Path, command: str, *args: str, **variables: str) -> pexpect.spawn:
    env = environment(home) | {"TERM": "xterm"} | variables
    return pexpect.spawn(
        command, list(args), env=env, encoding="utf-8", dimensions=(40, COLUMNS), timeout=PATIENCE
    )


def screen(home: Path, *args: str, **variables: str) -> list[str]:
    """The lines that a command leaves on a terminal."""
    child = terminal(home, str(QCFEED), *args, **variables)
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before).replace("\r", "").splitlines()


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


@pytest.mark.parametrize(
    "args", [["status"], ["tasks"], ["tasks", "--by-location"], ["feeds"], ["--help"]]
)
def test_a_screen_of_80_columns_is_enough(service: Serving, home: Path, args: list[str]) -> None:
    with connect(f"{service.url}/quotes/AAPL") as reader:
        reader.recv(timeout=PATIENCE)
        lines = screen(home, *args)
    assert len(lines) >= 2
    assert [line for line in lines if len(plain(line)) > COLUMNS] == []
    assert len(lines) <= 60


def test_colour_is_for_terminals_that_want_it(service: Serving, home: Path) -> None:
    assert screen(home, "tasks")[0].startswith("\x1b[1m")
    assert "\x1b" not in "".join(screen(home, "tasks", NO_COLOR="1"))


def test_the_prompt_is_on_stderr_and_no_cancels(service: Serving, home: Path) -> None:
    with connect(f"{service.url}/quotes/MSFT") as reader:
        reader.recv(timeout=PATIENCE)
        no = terminal(home, "bash", "-c", f"{QCFEED} feeds cancel MSFT > {home}/out; echo left $?")
        no.expect_exact("cancel 1 feed with 1 subscriber? [y/N] ")
        no.sendline("")
        no.expect_exact("nothing was cancelled")
        no.expect_exact(f"left {ExitStatus.REFUSED:d}")
        no.expect(pexpect.EOF)
        no.close()
        assert (home / "out").read_text() == ""

        yes = terminal(home, str(QCFEED), "feeds", "cancel", "MSFT")
        yes.expect_exact("? [y/N] ")
        yes.sendline("y")
        yes.expect("MSFT +1 +yes")
        yes.expect(pexpect.EOF)
        yes.close()
        assert yes.exitstatus == ExitStatus.OK


def test_an_interrupt_at_the_question_is_130(service: Serving, home: Path) -> None:
    with connect(f"{service.url}/quotes/MSFT") as reader:
        reader.recv(timeout=PATIENCE)
        child = terminal(home, str(QCFEED), "feeds", "cancel", "MSFT")
        child.expect_exact("? [y/N] ")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == ExitStatus.INTERRUPTED
        assert "MSFT" in qcfeed(home, "feeds", "-o", "name").stdout
