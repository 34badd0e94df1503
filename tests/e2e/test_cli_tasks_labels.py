"""Labels, filters, the tree and cancelling through the real program, against the drill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, serving
from tests.support.shell import qcfeed as run
from tests.support.websockets_client import connect

ZOMBIES = 1_784
"""Two a symbol of the simulator's 892."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def service(home: Path) -> Iterator[Serving]:
    drill = ("--drill", f"zombie-feeds={ZOMBIES}", "--spawn-stacks", "4")
    with serving(home, *drill) as service:
        service.hear("zombies are alive")
        yield service


def answer(home: Path, *args: str, status: ExitStatus = ExitStatus.OK) -> dict[str, Any]:
    said = run(home, *args, "-o", "json")
    assert said.returncode == status, said.stderr
    return json.loads(said.stdout)


def test_one_symbols_zombies_are_found_shown_and_cancelled(service: Serving, home: Path) -> None:
    with connect(f"{service.url}/quotes/AAPL") as reader:
        reader.recv(timeout=PATIENCE)
        worst = answer(home, "tasks", "--by", "label:symbol")["values"][0]
        assert (worst["value"], worst["live"], worst["orphaned"]) == ("AAPL", 4, 2)

        (feed,) = answer(home, "tasks", "--site", "server/feed.py", "--label", "symbol=AAPL")[
            "tasks"
        ]
        assert feed["name"].startswith("feed AAPL")

        zombies = ("--site", "zombies.py", "--label", "symbol=AAPL")
        oldest = answer(home, "orphans", *zombies, status=ExitStatus.FINDINGS)["orphans"][0][
            "serial"
        ]
        shown = answer(home, "tasks", "show", str(oldest))
        assert shown["task"]["labels"] == {"symbol": "AAPL"}
        assert shown["owner_gone"] is True
        assert shown["stack"][0]["source"] == "await asyncio.sleep(self._period)"
        assert [call["function"] for call in shown["spawn_stack"]] == [
            "ZombieFeeds._populate",
            "ZombieFeeds._leave_one_behind",
            "ZombieFeeds.start_symbol_feed",
        ]

        plan = answer(home, "tasks", "cancel", *zombies, "--dry-run")
        assert plan["total"] == 3
        ended = answer(home, "tasks", "cancel", *zombies, "--yes")
        assert (ended["cancelled"], ended["survived"]) == (3, 0)
        left = answer(home, "tasks", "--label", "symbol=AAPL")["tasks"]
        assert [task["serial"] for task in left] == [feed["serial"]], (
            "the real feed was not touched"
        )
        reader.recv(timeout=PATIENCE)

    ended = answer(home, "tasks", "cancel", "--name", "*", "--yes")
    assert ended["cancelled"] >= ZOMBIES - 2
    assert [spared["why"] for spared in ended["spared"]] == [
        "it is the main task, and the program ends with it"
    ]
    [log] = (home / "qcfeed").glob("*.audit.jsonl")
    words = [json.loads(line)["action"] for line in log.read_text().splitlines()]
    assert words == ["drill start"] * 2 + ["tasks.cancel"] * 4
    assert service.end() == ExitStatus.OK


def test_on_a_terminal_the_plan_is_shown_before_the_question(service: Serving, home: Path) -> None:
    def terminal(*args: str) -> pexpect.spawn[str]:
        return pexpect.spawn(
            str(QCFEED), list(args), env=os.environ | environment(home) | {"NO_COLOR": "1"},
            dimensions=(40, 80), timeout=PATIENCE, encoding="utf-8",
        )  # fmt: skip

    child = terminal("tasks", "cancel", "--site", "zombies.py", "--label", "symbol=MSFT")
    child.expect("SERIAL +AGE +NAME +LOCATION +STATE")
    child.expect_exact("cancel 2 tasks? [y/N] ")
    child.sendline("n")
    child.expect_exact("nothing was cancelled")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == ExitStatus.REFUSED
    assert answer(home, "tasks", "--label", "symbol=MSFT")["total"] == 2

    child = terminal("tasks", "--tree", "--limit", "50")
    child.expect_exact("and 47 more")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == ExitStatus.OK

    child = terminal("tasks", "cancel", "--site", "zombies.py", "--label", "symbol=MSFT", "--yes")
    child.expect("SERIAL +AGE +NAME +LOCATION +STATE")
    child.expect_exact("cancelling; waiting up to 5.0s for the tasks to end")
    child.expect_exact("2 tasks")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == ExitStatus.OK
