"""The leak benchmark asks the real tools about real programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.leaks import tools
from benchmarks.leaks.catalog import Program, catalog
from benchmarks.leaks.judging import Row, judge
from benchmarks.leaks.running import NotAvailableError, running

PROGRAMS = {each.name: each for each in catalog()}
LEAKY, SOUND = PROGRAMS["lock_pile_up"], PROGRAMS["pool_at_start"]
TOOL = {each.name: each for each in tools.TOOLS}


async def ask(tool: str, program: Program, seconds: float, rate: float = 20) -> Row:
    inside = TOOL[tool].inside
    async with running(program, inside, Path(sys.executable), seconds, rate) as started:
        return judge(program, tool, await TOOL[tool].ask(started))


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "LOOK_EVERY", 0.5)


@pytest.mark.usefixtures("looks_often")
async def test_lists_of_aiomonitor_are_compared_until_a_group_has_grown() -> None:
    row = await ask("aiomonitor", LEAKY, seconds=60)
    assert (row.said.blames, row.named) == (True, "created")
    assert row.said.seconds is not None


@pytest.mark.usefixtures("looks_often")
async def test_a_program_whose_lists_stay_the_same_is_not_blamed() -> None:
    row = await ask("aiomonitor", SOUND, seconds=4)
    assert (row.said.blames, row.right) == (False, True)


async def test_qcfeed_is_asked_until_the_program_ends() -> None:
    row = await ask("qcfeed", SOUND, seconds=3)
    assert (row.said.blames, row.said.skipped) == (False, "")


async def test_pyleak_looks_when_the_program_ends() -> None:
    pytest.importorskip("pyleak")
    row = await ask("pyleak", LEAKY, seconds=1)
    assert (row.said.blames, row.named) == (True, "created")


async def test_a_tool_that_fails_is_not_taken_for_one_that_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tools, "QCFEED", Path("/bin/false"))
    async with running(LEAKY, "nothing", Path(sys.executable), 60, 5) as started:
        with pytest.raises(NotAvailableError, match="exit status"):
            await TOOL["qcfeed"].ask(started)
