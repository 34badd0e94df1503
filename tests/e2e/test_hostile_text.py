"""What strangers write never steers a terminal: every command and format on a real pty."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.support.coinbase_server import CoinbaseServer, frames
from tests.support.hostile import EVIL, offences
from tests.support.loopback_http import serving as http_serving
from tests.support.loopback_http import success
from tests.support.patience import PATIENCE
from tests.support.program import program
from tests.support.shell import QCFEED, environment, qcfeed, serving
from tests.support.sinks import until

FORMATS = ("table", "wide", "json", "csv", "name")
LISTS = (
    ["tasks"], ["tasks", "--by-location"], ["tasks", "ended"], ["tasks", "findings"],
    ["tasks", "--by", "user"], ["tasks", "failures"], ["orphans"], ["stacks"], ["status"], ["diagnose", "--window", "1s"],
)  # fmt: skip
OTHERS = (
    ["tasks", "--tree"], ["tasks", "-o", "speedscope"],
    ["tasks", "-o", "collapsed"], ["report", "--window", "1s"],
    ["tasks", "cancel", "--label", "user=*", "--dry-run"],
    ["growth"], ["doctor"],
)  # fmt: skip


def on_a_terminal(home: Path, *args: str, **variables: str) -> str:
    """Everything that a command writes to a terminal."""
    env = environment(home) | {"TERM": "xterm", "NO_COLOR": "1"} | variables
    child = pexpect.spawn(
        str(QCFEED), list(args), env=env, encoding="utf-8", dimensions=(50, 200), timeout=PATIENCE
    )
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with program(home, "-m", "tests.support.hostile") as running:
        running.hear("ready")
        yield home


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("args", LISTS, ids=" ".join)
def test_no_format_of_a_list_steers_the_terminal(home: Path, args: list[str], form: str) -> None:
    assert offences(on_a_terminal(home, *args, "-o", form)) == set()


@pytest.mark.parametrize("args", OTHERS, ids=" ".join)
def test_no_command_steers_the_terminal(home: Path, args: list[str]) -> None:
    assert offences(on_a_terminal(home, *args)) == set()


def test_the_names_are_shown_and_escaped(home: Path) -> None:
    shown = on_a_terminal(home, "tasks", "-o", "wide")
    assert r"ev\x1b[31mil\x1b]52;" in shown
    told = json.loads(on_a_terminal(home, "tasks", "-o", "json"))
    assert any(each["name"].startswith(EVIL) for each in told["tasks"]), "JSON keeps the meaning"


def test_our_own_colours_are_all_that_a_coloured_terminal_gets(home: Path) -> None:
    for args in (["tasks"], ["orphans"]):
        shown = on_a_terminal(home, *args, NO_COLOR="", FORCE_COLOR="1")
        assert "\x1b[" in shown
        assert offences(re.sub(r"\x1b\[(0|1|[39][0-7])m", "", shown)) == set()
        assert "ev\x1b[31mil" not in shown


def test_the_full_screen_shows_nothing_that_steers(home: Path) -> None:
    """``top`` draws with escape sequences of its own; none of the program's are among them."""
    env = environment(home) | {"TERM": "xterm-256color"}
    screen = pexpect.spawn(
        str(QCFEED), ["top"], env=env, encoding="utf-8", dimensions=(50, 200), timeout=PATIENCE
    )
    drawn = []
    try:
        for key, words in (("", r"hostile\.py"), ("\r", r"ev\\x1b\[31mil")):
            screen.send(key)
            screen.expect(words)
            drawn += [screen.before, screen.after]
    finally:
        screen.sendcontrol("q")
        screen.send("q")
        screen.expect(pexpect.EOF)
        screen.close()
    shown = "".join(map(str, [*drawn, screen.before]))
    for part in ("\x1b]52", "ev\x1b[31mil", "\x9b", "\x9d", "\u202e", "\u2066", "\u2028", "\rover"):
        assert part not in shown


def test_one_task(home: Path) -> None:
    told = json.loads(qcfeed(home, "tasks", "-o", "json").stdout)
    serial = next(str(each["serial"]) for each in told["tasks"] if EVIL in each["name"])
    shown = on_a_terminal(home, "tasks", "show", serial)
    assert "x1b[31mil" in shown
    assert offences(shown) == set()


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("saved.json", ["tasks", "--save"]),
        ("night.md", ["report", "--window", "1s", "-o"]),
        ("night.html", ["report", "--window", "1s", "-o"]),
    ],
)
def test_saved_files_are_escaped(home: Path, name: str, args: list[str]) -> None:
    assert offences(on_a_terminal(home, *args, str(home / name))) == set()
    content = (home / name).read_text()
    assert offences(content) == set()
    assert "x1b[31mil" in content or "u001b[31mil" in content


@pytest.fixture(scope="module")
def bundle(home: Path) -> Path:
    path = home / "night.tar.gz"
    shown = on_a_terminal(home, "report", "--window", "1s", "--bundle", str(path))
    assert offences(shown) == set()
    return path


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", ["tasks", "orphans", "stacks", "diagnose"])
def test_a_bundle_read_elsewhere(home: Path, bundle: Path, command: str, form: str) -> None:
    shown = on_a_terminal(home, command, "--from", str(bundle), "-o", form)
    assert shown
    assert offences(shown) == set()


def test_a_hostile_argument_is_escaped_in_the_error(home: Path) -> None:
    for args in (["tasks", "show", EVIL], [EVIL], ["--context", EVIL, "status"], ["watch", EVIL]):
        assert offences(on_a_terminal(home, *args)) == set()


def test_a_peer_that_is_no_service_of_ours(home: Path) -> None:
    """A Prometheus and a quotes service whose every text is hostile."""
    alert = {"labels": {"alertname": EVIL}, "annotations": {"summary": EVIL}, "state": EVIL}
    error = json.dumps({"type": "error", "code": EVIL, "message": EVIL}).encode()

    def answer(target: str, _: object) -> list[bytes]:
        if "quotes" in target or "stream" in target:
            return [b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(error) + error]
        return [success({"alerts": [alert], "groups": [], "result": []}, warnings=[EVIL])]

    with http_serving(answer) as url:
        for form in FORMATS:
            assert offences(on_a_terminal(home, "alerts", "--prometheus", url, "-o", form)) == set()
        assert offences(on_a_terminal(home, "growth", "--prometheus", url)) == set()
        server = url.replace("http:", "ws:")
        assert offences(on_a_terminal(home, "watch", "AAPL", "--server", server)) == set()


async def test_an_exchange_cannot_write_into_the_log_or_a_table(tmp_path: Path) -> None:
    snapshot = {"type": "snapshot", "product_id": "BTC-USD", "bids": [["1", "1"]], "asks": []}
    async with CoinbaseServer(frames([snapshot]), heartbeat=0.2) as server:
        server.refuse_all = f"{EVIL}\n2026-01-01 00:00:00,000 INFO forged"
        with serving(tmp_path, "--upstream", f"coinbase+{server.url}") as service:
            watching = asyncio.create_task(
                asyncio.to_thread(on_a_terminal, tmp_path, "watch", "BTC-USD", "--for", "2")
            )
            await until(lambda: bool(server.requests))
            shown = [await watching]
            shown += [
                await asyncio.to_thread(on_a_terminal, tmp_path, "feeds", "-o", form)
                for form in FORMATS
            ]
            await asyncio.to_thread(service.hear, r"ev\x1b[31mil")
    log = "".join(service.talk)
    assert [offences(each) for each in [*shown, log] if offences(each)] == []
    assert not any(line.startswith("2026-01-01") for line in log.splitlines())
