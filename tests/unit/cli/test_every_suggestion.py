"""Every command that is suggested names the service as the command line did, and is a command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qcfeed.cli import command_tree
from qcfeed.cli.main import COMMANDS
from tests.support.cli_parser import parse
from tests.support.shell import Serving, environment, serving

from .conftest import Left

FOR_NO_SERVICE = {
    "serve", "attach", "detach", "runbook", "artifacts", "completion", "config", "explain", "keys",
}  # fmt: skip
MORE = (
    "status", "status -o json", "diagnose --window 0.1s", "diagnose --window 0.1s -o json",
    "diagnose --window 0.1s -o wide", "orphans --limit 1", "feeds -o wide", "feeds show ZZZ", "feeds cancel",
    "feeds cancel ZZZ", "subscribers kick", "subscribers kick 999", "subscribers show 999", "subscribers show 1",
    "tasks --by-location", "tasks --by-label symbol", "tasks --by-object sleep", "tasks --tree --limit 3",
    "tasks --limit 1", "tasks show 1", "tasks show 99999", "tasks cancel 99999", "tasks cancel --site none.py:1",
    "tasks findings -o json", "tasks findings -o csv", "drill start nope",
    "workers restart x", "watch ZZ..Z", "report --window 0.1s", "runbook QcfeedOrphanedTasks",
    "config set nope 1", "growth -o json", "logs --level error",
)  # fmt: skip
"""Command lines beside each command without arguments."""
NOT_CALLED = {
    "",
    "attach",
    "detach",
    "feeder",
    "mcp",
    "repro",
    "serve",
    "top",
    "watch",
    "drill",
    "drill start",
    "drill stop",
    "drill rehearse",
    "keys",
    "config",
    "diagnose",
    "report",
}
"""What would start something, go on until it is ended, or is in MORE with a shorter window."""
FEW = (
    "status", "orphans --limit 1", "feeds cancel", "feeds show ZZZ", "subscribers kick", "tasks show 99999",
    "drill list", "drill start nope", "tasks findings -o json",
)  # fmt: skip
"""The command lines for each other form."""
IN_TEXT = re.compile(r"`(qcfeed [^`]+)`")
TYPED = re.compile(
    r"(?:^(?:\$ )?|next: +| {2,}(?:next)? *|\")(qcfeed (?:-|[a-z]+\b)[^\"`]*?)(?:  |\"|$)",
    re.MULTILINE,
)


def suggested(text: str) -> set[str]:
    """The commands in a text: in backquotes, or alone in a line or a cell."""
    found = {found.strip() for form in (IN_TEXT, TYPED) for found in form.findall(text)}
    return {each for each in found if named(each) in COMMANDS and " --help" not in each}


def named(command: str) -> str:
    """The command's own name, after the global options; empty if it is none."""
    words = iter(command.split()[1:])
    for word in words:
        if not word.startswith("-"):
            return word
        if word != "--cluster":
            next(words, "")
    return ""


def filled(command: str) -> list[str]:
    """Its arguments, up to a pipe or comment, with numbers in place of the words that stand for them."""
    alone = re.split(r" [|>#]", command)[0]
    return shlex.split(re.sub(r"\b(N|ID|SERIAL|SECONDS|PORT)\b", "1", alone))[1:]


def called() -> Iterator[list[str]]:
    for each in command_tree.commands():
        name = each.command_path.removeprefix("qcfeed").strip()
        if name not in NOT_CALLED:
            yield name.split()
    for line in MORE:
        yield line.split()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A service with findings, in the same home as the commands."""
    before = ("--instance", "night")
    with serving(
        tmp_path, "--drill", "zombie-feeds=20", "--control-listen", "127.0.0.1:0", before=before
    ) as running:
        for name, value in environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield running


def forms(home: Path, service: Serving) -> list[list[str]]:
    socket = str(home / "qcfeed" / "night.sock")
    file = home / "other.toml"
    file.write_text(f'[contexts.prod]\nsocket = "{socket}"\n')
    [url] = re.findall(r"http://127\.0\.0\.1:\d+(?= with a bearer)", "".join(service.talk))
    return [
        ["--instance", "night"],
        ["--socket", socket],
        ["--url", url],
        ["--config", str(file), "--context", "prod"],
    ]


def test_every_suggested_command_is_for_the_service_that_was_named(
    qcfeed_: Callable[..., Left], tmp_path: Path, service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.hear("bearer token")
    token = next(tmp_path.rglob("*token*")).read_text().strip()
    monkeypatch.setenv("QCFEED_TOKEN", token)
    lost, seen = [], set()
    for form in forms(tmp_path, service):
        prefix = shlex.join(["qcfeed", *form])
        for words in called() if form[0] == "--config" else map(str.split, FEW):
            left = qcfeed_(*form, *words)
            for command in suggested(left.out + "\n" + left.err):
                seen.add((form[0], named(command)))
                parse(filled(command))
                if named(command) not in FOR_NO_SERVICE and not command.startswith(prefix):
                    lost.append((" ".join(words), command))
    assert lost == []
    for form in ("--instance", "--socket", "--url", "--config"):
        assert {name for each, name in seen if each == form} >= {
            "orphans", "tasks", "feeds", "subscribers", "drill",
        }  # fmt: skip


def test_every_command_suggested_for_the_cluster_names_the_cluster_or_an_instance(
    qcfeed_: Callable[..., Left], service: Serving
) -> None:
    assert service.process.poll() is None
    found = set()
    for line in (
        "status",
        "feeds",
        "subscribers",
        "tasks --by-location",
        "orphans",
        "growth",
        "tasks",
    ):
        left = qcfeed_("--cluster", *line.split())
        found |= suggested(left.out + "\n" + left.err)
    assert found
    asking = {each for each in found if named(each) not in FOR_NO_SERVICE}
    assert {
        each for each in asking if "--cluster" not in each and "--instance night" not in each
    } == set()
