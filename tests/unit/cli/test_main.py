from __future__ import annotations

import asyncio
import importlib
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

import qcfeed
from qcfeed.cli import main
from qcfeed.cli.lazy import LazyGroup
from qcfeed.errors import ExitStatus

from .conftest import Left, Watched

Command = Callable[..., Left]

HEAVY = {
    "aiohttp", "aiomonitor", "asyncio", "msgspec", "prometheus_api_client", "prometheus_client",
    "psutil", "requests", "rich", "textual",
}  # fmt: skip
COSTLY = {
    "concurrent.futures", "dataclasses", "email", "hashlib", "hmac", "http.client", "logging", "random",
    "secrets", "ssl", "statistics", "tempfile", "tomllib", "urllib.request",
}  # fmt: skip
"""What the standard library has that takes its time, and a question can do without."""


def imported_by(*args: str) -> set[str]:
    """The modules that a whole process has imported when the command has ended."""
    return modules_after(
        "import sys; sys.argv = ['qcfeed', *sys.argv[1:]]\n"
        "from qcfeed.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: pass",
        *args,
    )


def modules_after(code: str, *args: str) -> set[str]:
    code += "\nimport sys; print('\\nMODULES', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["no-such-command"]])
def test_no_command_is_imported_to_list_them(args: list[str]) -> None:
    modules = imported_by(*args)
    assert "qcfeed.cli.main" in modules
    assert modules.isdisjoint(HEAVY)
    assert modules.isdisjoint(map(main.module, main.COMMANDS))


@pytest.mark.parametrize("name", ["status", "tasks", "orphans", "feeds", "growth", "top"])
def test_completion_imports_nothing_slow(name: str) -> None:
    modules = imported_by(name)
    assert modules & set(map(main.module, main.COMMANDS)) == {main.module(name)}
    assert modules.isdisjoint(HEAVY - {"msgspec"})


@pytest.mark.parametrize(
    "args", [["tasks", "--by-location"], ["status"], ["orphans"], ["feeds"], ["subscribers"]]
)
def test_a_question_imports_little_beside_typer(args: list[str]) -> None:
    modules = imported_by(*args) - modules_after("import typer")
    assert "qcfeed.control.connection" in modules
    assert modules.isdisjoint(COSTLY)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_begins_with_its_short_help_and_ends_with_an_example(name: str) -> None:
    command = main.load(name)
    assert (command.help or "").startswith(main.COMMANDS[name])
    assert f"  qcfeed {name}" in (command.epilog or "") or f" {name} " in (command.epilog or "")


def test_a_command_file_is_named_as_its_command() -> None:
    for name in main.COMMANDS:
        assert importlib.import_module(main.module(name)).app


def test_version(qcfeed_: Command) -> None:
    assert qcfeed_("--version") == Left(0, f"qcfeed {qcfeed.__version__}\n", "")


def test_nothing_to_do_is_a_usage_error_that_shows_the_help(qcfeed_: Command) -> None:
    left = qcfeed_()
    assert left.status == ExitStatus.USAGE
    assert "Commands:" in left.err
    assert left.out == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["orphanes"],
            "No such command 'orphanes'. Did you mean 'orphans'?\n  hint: see `qcfeed --help`",
        ),
        (["--tiemout", "3", "status"], "No such option: --tiemout. Did you mean --timeout?"),
        (["status", "--outptu"], "Did you mean --output?\n  hint: see `qcfeed status --help`"),
        (["tasks", "verify"], "Missing option '--site'\n  hint: see `qcfeed tasks verify --help`"),
        (["-o", "csv", "status"], "-o goes after the command: `qcfeed COMMAND -o ...`"),
        (["status", "-o", "xml"], "'xml' is not one of 'table', 'wide', 'json', 'csv', 'name'"),
        (["status", "-o", "jsn"], "Did you mean 'json'?"),
        (["artifacts", "rulez"], "Did you mean 'rules'?"),
        (["feeds", "--limit", "x"], "'x' is not a whole number"),
        (["feeds", "AAPL"], "`qcfeed feeds show AAPL` shows one"),
        (["drill", "start", "zombie"], "did you mean zombie-feeds?"),
        (["runbook", "--sort-by", "nam"], "did you mean name?"),
        (["rehearse", "NOSUCH"], "it belongs to another command: `qcfeed drill rehearse`; see"),
        (["show", "5"], "No such command 'show'\n  hint: see `qcfeed --help`"),
        (["help", "nosuch"], "No such command 'nosuch'"),
        (["--timeout", "0", "status"], "'--timeout': 0.0 is not in the range x>=0.001"),
        (["--timeout", "soon", "status"], "'soon' is not a number"),
        (["status", "extra"], "error: unexpected argument: extra"),
        (["tasks", "extra"], "No such command 'extra'"),
    ],
)
def test_a_wrong_command_line_suggests_the_right_word(
    qcfeed_: Command, args: list[str], said: str
) -> None:
    left = qcfeed_(*args)
    assert left.status == ExitStatus.USAGE
    assert left.out == ""
    assert left.err.startswith("qcfeed: error: ")
    assert said in left.err


def test_no_service_is_exit_3_with_the_next_step(qcfeed_: Command) -> None:
    left = qcfeed_("status")
    assert left.status == ExitStatus.UNREACHABLE
    assert left.err.startswith("qcfeed: error: no qcfeed service runs here")
    assert "\n  hint: `qcfeed serve` starts one" in left.err


def test_a_bug_is_reported_with_a_short_traceback(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("x")

    monkeypatch.setattr(main, "build", broken)
    left = qcfeed_("status")
    assert left.status == ExitStatus.BUG
    assert "in broken" in left.err
    assert "error: this is a bug in qcfeed: KeyError: 'x'\n  hint: report it" in left.err


@pytest.mark.parametrize(
    ("raised", "status"),
    [(KeyboardInterrupt(), ExitStatus.INTERRUPTED)],
)
def test_an_interrupt_is_quiet(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int
) -> None:
    def interrupted() -> None:
        raise raised

    monkeypatch.setattr(main, "build", interrupted)
    assert qcfeed_("status") == Left(status, "", "")


def test_a_flag_that_names_a_service_overrides_all_variables(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCFEED_INSTANCE", "exported")
    assert "exported.sock" in qcfeed_("status").err
    left = qcfeed_("--socket", "/nowhere/given.sock", "status")
    assert left.status == ExitStatus.UNREACHABLE
    assert "given.sock" in left.err
    assert "exported" not in left.err


def test_two_flags_that_name_a_service_are_an_error(qcfeed_: Command) -> None:
    left = qcfeed_("--instance", "a", "--socket", "/b.sock", "status")
    assert left.status == ExitStatus.USAGE
    assert "each name a service" in left.err


def test_subcommands_are_listed_without_being_imported_and_say_the_same_themselves() -> None:
    group = main.load("tasks")
    assert isinstance(group, LazyGroup)
    modules = imported_by("tasks", "--by-location")
    own = {
        f"qcfeed.cli.tasks.{name}"
        for name in (*group.listed, "export", "windows", "trees", "by_label")
    }
    assert modules.isdisjoint(own)
    assert modules.isdisjoint({"qcfeed.observe.bundle", "tarfile", "gzip"})
    for name, short in group.listed.items():
        assert " ".join((group.load(name).help or "").split()).startswith(short)


async def test_quiet_leaves_out_messages_and_verbose_tells_each_request(
    watched, qcfeed_, sleepers
) -> None:
    watched.serve()
    sleepers(2, orphaned=True)
    quiet = await asyncio.to_thread(qcfeed_, "-q", "orphans", "-o", "name")
    assert (quiet.status, quiet.err) == (ExitStatus.FINDINGS, "")
    failed = await asyncio.to_thread(qcfeed_, "--quiet", "tasks", "show", "999999")
    assert "qcfeed: error: there is no live task" in failed.err
    verbose = await asyncio.to_thread(qcfeed_, "-v", "-i", "8006", "orphans")
    assert re.search(r"^GET /v1/orphans\?limit=\d+ of \S+ took \d+ ms$", verbose.err, re.MULTILINE)


def test_every_command_is_in_one_group() -> None:
    names = [name for group in main.GROUPS.values() for name in group]
    assert sorted(names) == sorted(main.COMMANDS)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "args",
    [
        ["status", "-i", "gone"],
        ["status", "--instance=gone"],
        ["tasks", "show", "3", "-i", "gone", "-v"],
        ["feeds", "--limit", "3", "-q", "--instance", "gone", "-o", "json"],
        ["drill", "list", "-i", "gone"],
    ],
)
def test_a_global_option_may_follow_the_command(qcfeed_: Command, args: list[str]) -> None:
    left = qcfeed_(*args)
    assert left.status == ExitStatus.UNREACHABLE, left.err
    assert "gone" in left.err


async def test_the_instance_that_was_meant_is_suggested(watched: Watched, qcfeed_: Command) -> None:
    watched.serve("prod")
    left = await asyncio.to_thread(qcfeed_, "-i", "prd", "status")
    assert left.status == ExitStatus.UNREACHABLE
    assert "did you mean `qcfeed --instance prod ...`?" in left.err


def test_after_two_dashes_nothing_is_moved(qcfeed_: Command) -> None:
    assert qcfeed_("explain", "--", "-i").status == ExitStatus.USAGE
    assert qcfeed_("status", "--nosuch", "-i", "gone").status == ExitStatus.USAGE


@pytest.mark.parametrize("words", [[], ["feeds"], ["tasks", "verify"]])
def test_help_is_a_command_too(qcfeed_: Command, words: list[str]) -> None:
    left = qcfeed_("help", *words)
    assert left.status == ExitStatus.OK
    assert left.out == qcfeed_(*words, "--help").out


@pytest.mark.parametrize("name", ["drill", "config", "keys"])
def test_a_group_alone_shows_its_help(qcfeed_: Command, name: str) -> None:
    left = qcfeed_(name)
    assert (left.status, left.out) == (ExitStatus.USAGE, "")
    assert "Commands:" in left.err


def test_a_list_of_which_nothing_matches_says_so(qcfeed_: Command) -> None:
    left = qcfeed_("doctor", "--state", "broken")
    assert "matches; their states: " in left.err
