"""Tasks that a library, a wrapper or a helper creates, by the real command line: the application's line is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.program import program
from tests.support.shell import qcfeed, until

LIBRARY = """
import asyncio

def watch(symbol):
    return asyncio.create_task(updates(), name=symbol)

async def updates():
    await asyncio.Event().wait()
"""
BOT = """
import asyncio
import anyio
import exchange
from qcfeed import attach

def spawn(coroutine):
    return asyncio.create_task(coroutine)

async def main():
    attach("bot", through=["__main__.spawn"])
    watched = [exchange.watch("BTC") for _ in range(3)]  # first
    watched += [exchange.watch("ETH") for _ in range(2)]  # second
    helped = [spawn(asyncio.sleep(3600)) for _ in range(4)]  # third
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 3600)  # fourth
        print("started", flush=True)

asyncio.run(main())
"""


LEAKY_BOT = """
import asyncio
import exchange
from qcfeed import attach

async def main():
    attach("bot")
    kept = []
    while True:
        kept += [exchange.watch("BTC")]  # leaks
        exchange.watch("ETH").cancel()  # is sound
        await asyncio.sleep(0.02)

asyncio.run(main())
"""


def line_of(comment: str, program: str = BOT) -> int:
    return next(
        n for n, text in enumerate(program.splitlines(), 1) if text.endswith(f"# {comment}")
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory of installed packages, with the library."""
    directory = tmp_path / "lib" / "site-packages"
    directory.mkdir(parents=True)
    (directory / "exchange.py").write_text(LIBRARY)
    return directory


def test_of_two_callers_of_one_library_the_verdict_names_the_one_that_leaks(
    tmp_path: Path, installed: Path
) -> None:
    (tmp_path / "bot.py").write_text(LEAKY_BOT)
    leaks, sound = (line_of(each, LEAKY_BOT) for each in ("leaks", "is sound"))
    with program(tmp_path, str(tmp_path / "bot.py"), PYTHONPATH=str(installed)):
        said = ""

        def is_found() -> bool:
            nonlocal said
            said = qcfeed(tmp_path, "--instance", "bot", "diagnose", "--window", "1s").stdout
            return said.startswith("LEAK")

        until(is_found, "the leak to be found")
    at = f"exchange.py:5 < bot.py:{leaks}"
    assert at in said.splitlines()[0]
    assert 'kept += [exchange.watch("BTC")]  # leaks' in said  # the application's line of source
    assert f"tasks --site '{at}'" in said
    assert f"bot.py:{sound}" not in said


def test_the_application_s_line_is_shown_and_can_be_grouped_by(
    tmp_path: Path, installed: Path
) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    first, second, third, fourth = map(line_of, ("first", "second", "third", "fourth"))
    with program(tmp_path, str(tmp_path / "bot.py"), PYTHONPATH=str(installed)) as running:
        running.hear("started")

        def live(*words: str) -> dict[str, int]:
            left = qcfeed(tmp_path, "--instance", "bot", "tasks", *words, "-o", "json")
            assert left.returncode == 0, left
            rows = json.loads(left.stdout)["locations"]
            return {row["location"]: row["live"] for row in rows if row["live"]}

        spawned = {f"bot.py:{third}": 4, f"bot.py:{fourth}": 1}
        assert live("--by-location") == {
            f"exchange.py:5 < bot.py:{first}": 3,
            f"exchange.py:5 < bot.py:{second}": 2,
            **spawned,
        }
        assert live("--by", "caller") == {f"bot.py:{first}": 3, f"bot.py:{second}": 2, **spawned}
        assert live("--by", "creator") == {"exchange.py:5": 5, **spawned}
        table = qcfeed(tmp_path, "--instance", "bot", "tasks", "--by", "caller").stdout
        assert re.search(rf"^bot\.py:{first} +3 ", table, re.MULTILINE)
        for site, number in ("exchange.py:5", 5), (f"bot.py:{first}", 3), ("exchange.py", 5):
            found = live("--by-location", "--site", site)
            assert sum(found.values()) == number
        listed = qcfeed(tmp_path, "--instance", "bot", "tasks", "--name", "ETH").stdout
        assert listed.count(f"exchange.py:5 < bot.py:{second}") == 2
        words = ("__complete", "fish", "--instance", "bot", "tasks", "--site", "exchange")

        def completed() -> list[str]:
            lines = qcfeed(tmp_path, *words).stdout.splitlines()
            return [line for line in lines if line.startswith("exchange")]

        # TAB gives up after a fifth of a second, which a busy machine may take.
        until(lambda: completed() == ["exchange.py:5\t5 live"], "TAB to list the place once")
        unknown = qcfeed(tmp_path, "--instance", "bot", "tasks", "--by", "colour")
        assert unknown.returncode == 2
        assert "give location, caller, creator, object, or label:KEY" in unknown.stderr
