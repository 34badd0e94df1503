"""The same kind of failure has the same exit status and the same sentence in every command."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from qcfeed.cli import command_tree
from qcfeed.control import paths
from qcfeed.errors import ExitStatus

from .conftest import Left

Command = Callable[..., Left]

ASK_NOTHING = {
    "", "artifacts", "attach", "completion", "config", "detach", "drill", "drill rehearse", "explain",
    "feeder", "keys", "keys add", "keys list", "keys revoke", "repro", "runbook", "serve",
} | {f"config {name}" for name in
     ("check", "contexts", "current-context", "init", "path", "set", "show", "use-context")}  # fmt: skip
"""Commands that ask no running service, or start their own."""
LISTS_CHECKS = {"doctor"}
"""Tells each failure in a row of its own."""
ASKS_ANOTHER = {"alerts", "tasks diff"}
"""Asks Prometheus, or reads a file first."""
NEEDS_MORE = {"mcp", "top"}
"""Needs a terminal, or an agent."""
WITHOUT_SERVICE = {"drill list", "version"}
"""Has an answer of its own when no service runs here; not when one was named."""
PATIENT = {"drill start", "drill stop", "workers restart"}
"""Waits for as long as the action may take, beyond --timeout."""
WORDS = {
    "diagnose": ["--window", "0.01s"],
    "drill start": ["zombie-feeds"],
    "feeds cancel": ["AAPL", "--yes"],
    "feeds show": ["AAPL"],
    "report": ["--window", "0.01s"],
    "subscribers kick": ["7", "--yes"],
    "subscribers show": ["7"],
    "tasks cancel": ["5"],
    "tasks show": ["5"],
    "tasks verify": ["--site", "x.py:1"],
    "watch": ["AAPL"],
    "workers restart": ["8006-1"],
}
"""What a command needs beside its name."""


def commands() -> dict[str, set[str]]:
    """Every command and the spellings of its options."""
    return {
        each.command_path.removeprefix("qcfeed").strip(): {
            word for param in each.command.get_params(each) for word in param.opts
        }
        for each in command_tree.commands()
    }


def asking() -> list[str]:
    found = commands().keys() - ASK_NOTHING - LISTS_CHECKS - ASKS_ANOTHER - NEEDS_MORE
    assert len(found) > 20
    return sorted(found)


def all_fail(
    call: Command, lines: Iterable[list[str]], status: ExitStatus, sentence: str, hint: str = ""
) -> None:
    """Every command line fails with this status, one error of this form, and a hint if there is one."""
    others = {}
    given = list(lines)
    assert len(given) > 5
    for line in given:
        left = call(*line)
        alike = re.search(rf"^qcfeed: error: {sentence}", left.err, re.MULTILINE)
        once = left.err.count("qcfeed: error: ") == 1
        printed = left.out and "version" not in line  # which tells its own all the same
        if left.status != status or not alike or not once or hint not in left.err or printed:
            others[" ".join(line)] = (left.status, left.err[:300], left.out[:100])
    assert others == {}


def lines(*before: str, but: Iterable[str] = ()) -> Iterator[list[str]]:
    for name in asking():
        if name not in but:
            yield [*before, *name.split(), *WORDS.get(name, [])]


def test_no_service_runs_here(qcfeed_: Command) -> None:
    all_fail(
        qcfeed_, lines(but=WITHOUT_SERVICE), ExitStatus.UNREACHABLE,
        "no qcfeed service runs here", "`qcfeed serve` starts one",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        (["--instance", "nope"], r"cannot reach the service at .*/nope\.sock: No such file"),
        (["--socket", "/none/x.sock"], r"cannot reach the service at /none/x\.sock: No such file"),
        (["--url", "http://127.0.0.1:1"], r"cannot reach the service at http://127\.0\.0\.1:1: "),
    ],
    ids=["instance", "socket", "url"],
)
def test_a_service_that_was_named_does_not_run(
    qcfeed_: Command, named: list[str], sentence: str
) -> None:
    all_fail(qcfeed_, lines(*named), ExitStatus.UNREACHABLE, sentence, "`qcfeed serve` starts one")


def test_a_context_that_is_not_declared(qcfeed_: Command) -> None:
    more = [["--context", "nope", "alerts"], ["--context", "nope", "config", "show"]]
    all_fail(
        qcfeed_, [*lines("--context", "nope"), *more], ExitStatus.USAGE,
        "there is no context 'nope'", "qcfeed config init",
    )  # fmt: skip


def test_a_service_that_does_not_answer_in_time(qcfeed_: Command, tmp_path: Path) -> None:
    file = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(file))
        listener.listen(100)  # the kernel accepts, and nobody answers
        all_fail(
            qcfeed_, lines("--timeout", "0.02", "--socket", str(file), but=PATIENT),
            ExitStatus.TIMED_OUT, r".*silent\.sock did not answer within 0\.02 s", "--timeout",
        )  # fmt: skip


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every directory")
def test_a_socket_in_a_directory_of_another_user(qcfeed_: Command) -> None:
    directory = paths.socket_path("8006").parent
    directory.mkdir(parents=True)
    directory.chmod(0)
    try:
        all_fail(
            qcfeed_, lines("--instance", "8006"), ExitStatus.NOT_ALLOWED,
            r".* may not be asked: Permission denied", "--url",
        )  # fmt: skip
    finally:
        directory.chmod(0o700)


TRUNCATED = "is not an answer of qcfeed, or is truncated"


@pytest.mark.parametrize(
    ("content", "sentence", "hint"),
    [
        (None, "cannot be read: No such file or directory", ""),
        (b"", TRUNCATED, "qcfeed report --bundle FILE"),
        (b'{"schema":"qcfeed.status/2","pid"', TRUNCATED, "qcfeed report --bundle FILE"),
        (b"\x00\xff", TRUNCATED, "qcfeed report --bundle FILE"),
        (b"\x1f\x8b\x08\x00", "is not a bundle, or is truncated", "qcfeed report --bundle FILE"),
        (b'{"name": 1}', "is JSON, but not an answer of qcfeed", "qcfeed report --bundle FILE"),
    ],
    ids=["missing", "empty", "cut", "binary", "cut bundle", "foreign"],
)
def test_a_file_that_cannot_be_read(
    qcfeed_: Command, tmp_path: Path, content: bytes | None, sentence: str, hint: str
) -> None:
    file = tmp_path / "night"
    if content is not None:
        file.write_bytes(content)
    readers = [name for name, has in commands().items() if "--from" in has]
    assert len(readers) > 15
    from_file = ["--from", str(file)]
    more = {"tasks cancel": ["--dry-run"], "tasks verify": from_file}
    given = [
        [*name.split(), *WORDS.get(name, []), *more.get(name, []), *from_file]
        for name in readers
        if name not in ("diagnose", *NEEDS_MORE)
    ]
    given += [["diagnose", *from_file], ["tasks", "diff", str(file)]]
    all_fail(qcfeed_, given, ExitStatus.USAGE, f"{re.escape(str(file))} {sentence}", hint)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--output", "nope", "(Invalid value for '-o' / '--output': 'nope' is not one of|-o nope is)"),
        ("--limit", "many", "Invalid value for '--limit': 'many' is not a whole number"),
        ("--limit", "-1", "Invalid value for '--limit': -1 is not in the range "),
        ("--window", "soon", "Invalid value for '--window': 'soon' is not a duration; for example"),
        ("--since", "soon", "Invalid value for '--since': 'soon' is not a duration; for example"),
        ("--older-than", "soon", "Invalid value for '--older-than': 'soon' is not a duration"),
    ],
)  # fmt: skip
def test_a_value_that_an_option_does_not_take(
    qcfeed_: Command, option: str, value: str, sentence: str
) -> None:
    needed = {
        "attach": ["1"], "detach": ["1"], "drill rehearse": ["zombie-feeds"], "explain": ["linger"],
        "keys add": ["a"], "keys revoke": ["a"], "tasks diff": ["x"],
    }  # fmt: skip
    takers = [name for name, has in commands().items() if option in has]
    assert takers
    given = [
        [*name.split(), *WORDS.get(name, needed.get(name, [])), option, value] for name in takers
    ]
    given += [given[0]] * 5  # the rarest option is that of two commands
    all_fail(qcfeed_, given, ExitStatus.USAGE, sentence, "--help" if option != "--output" else "")


def test_names_that_are_declared_nowhere(qcfeed_: Command) -> None:
    all_fail(
        qcfeed_,
        [
            ["drill", "start", "nope"], ["drill", "rehearse", "nope"], ["runbook", "nope"],
            ["runbook", "run", "nope"], ["explain", "nope"], ["config", "set", "nope", "1"],
            ["config", "use-context", "nope"],
        ],
        ExitStatus.USAGE, "there is no (drill|runbook|explanation of|option|context) 'nope'", "hint: ",
    )  # fmt: skip
