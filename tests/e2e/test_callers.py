"""Tasks that a library, a wrapper or a helper creates, by the real command line: the application's line is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.program import program
from tests.support.shell import qcfeed

LIBRARY = """
import asyncio

def watch(symbol):
    return asyncio.create_task(asyncio.sleep(3600), name=symbol)
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


def line_of(comment: str) -> int:
    return next(n for n, text in enumerate(BOT.splitlines(), 1) if text.endswith(f"# {comment}"))


def test_the_application_s_line_is_shown_and_can_be_grouped_by(tmp_path: Path) -> None:
    installed = tmp_path / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "exchange.py").write_text(LIBRARY)
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
        unknown = qcfeed(tmp_path, "--instance", "bot", "tasks", "--by", "colour")
        assert unknown.returncode == 2
        assert "give location, caller, creator, object, or label:KEY" in unknown.stderr
