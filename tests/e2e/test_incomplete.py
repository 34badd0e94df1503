"""Tasks that the ledger cannot see: every command says so, by the real command line at 80 columns.

A service with the drill, and an attached program whose task factory a library has replaced.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.program import program
from tests.support.shell import QCFEED, Serving, qcfeed, serving, until
from tests.support.terminal import terminal

HIDDEN = 2_000
REASON = re.compile(r"cannot see 2,0\d\d of 2,\d\d\d tasks: the ledger did not record one")
COMMANDS = (
    ["status"],
    ["diagnose", "--window", "1s"],
    ["orphans"],
    ["orphans", "--reap"],
    ["tasks", "findings"],
    ["doctor"],
)
every_command = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
WELL = ("no orphans: every", "HEALTHY", "NOTHING FOUND", "no findings")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("night")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, "--no-monitor", "--allow-drills", "--upstream", "sim:?rate=1") as service:
        yield service


def ask(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return qcfeed(home, *args, COLUMNS="80")


def is_told(left: subprocess.CompletedProcess[str]) -> bool:
    """Whatever the width at which a table has broken the sentence."""
    return REASON.search(" ".join((left.stdout + left.stderr).split())) is not None


def told(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The command's answer once it has the reason: at once, unless the machine is too busy for the
    loop to turn within a second."""
    answers: list[subprocess.CompletedProcess[str]] = []

    def is_there() -> bool:
        answers.append(ask(home, *args))
        return is_told(answers[-1])

    until(is_there, f"{args} to tell why it cannot see all tasks")
    return answers[-1]


def is_well(home: Path, *args: str) -> None:
    """Nothing is hidden from the command any more. Of the machine it may find what it likes."""
    until(lambda: not is_told(ask(home, *args)), f"{args} to see all tasks")
    if "orphans" in args:
        left = ask(home, *args)
        assert left.returncode == ExitStatus.OK, left


def problems(service: Serving) -> float:
    url = f"http{service.url.removeprefix('ws')}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    (line,) = (each for each in lines if each.startswith("qcfeed_ledger_problems "))
    return float(line.split()[1])


def test_a_sound_service_has_no_such_problem(service: Serving, home: Path) -> None:
    for command in COMMANDS:
        is_well(home, *command)
    assert problems(service) == 0


@pytest.fixture(scope="module")
def drill(service: Serving, home: Path) -> Iterator[None]:
    started = ask(home, "drill", "start", f"replaced-factory={HIDDEN}")
    assert started.returncode == ExitStatus.OK, started
    yield
    ask(home, "drill", "stop")


@every_command
def test_the_drill_makes_commands_report_an_incomplete_ledger(
    drill: None, home: Path, command: list[str]
) -> None:
    left = told(home, *command)
    assert left.returncode == ExitStatus.FINDINGS
    assert is_told(left), left
    assert "runbook QcfeedLedgerIncomplete" in left.stdout + left.stderr
    assert not any(words in left.stdout + left.stderr for words in WELL), left


def test_top_and_metrics_show_an_incomplete_ledger(
    drill: None, service: Serving, home: Path
) -> None:
    until(lambda: problems(service) == 1, "the gauge")
    with terminal(home) as seat:
        seat.type(f"{shlex.quote(str(QCFEED))} top --every 0.5")
        screen = seat.see("INCOMPLETE  cannot see 2,0")
        assert not any(words in screen for words in WELL)
        seat.press("q")


def test_after_the_drill_all_is_well_again(service: Serving, home: Path) -> None:
    ask(home, "drill", "start", f"replaced-factory={HIDDEN}")
    until(lambda: problems(service) == 1, "the gauge")
    assert ask(home, "drill", "stop").stdout == f"ended  replaced-factory={HIDDEN}\n"
    for command in COMMANDS:
        is_well(home, *command)
    until(lambda: problems(service) == 0, "the gauge")


# ---------------------------------------------------------------- an attached program

REPLACED = """
import asyncio, signal
from qcfeed import attach

async def wait():
    await asyncio.sleep(3600)

def library_factory(loop, coro, **options):
    return asyncio.Task(coro, loop=loop, **options)

async def main():
    attach("billing")
    loop = asyncio.get_running_loop()
    recording = loop.get_task_factory()
    switch = asyncio.Queue()
    loop.add_signal_handler(signal.SIGUSR1, switch.put_nowait, library_factory)
    loop.add_signal_handler(signal.SIGUSR2, switch.put_nowait, recording)
    print("attached", flush=True)
    tasks = []
    while True:
        loop.set_task_factory(await switch.get())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks = [asyncio.create_task(wait()) for _ in range(%d)]
        print("switched", len(tasks), flush=True)

asyncio.run(main())
"""


def test_a_library_that_replaces_the_task_factory_of_an_attached_program(tmp_path: Path) -> None:
    billing = ("--instance", "billing")
    with program(tmp_path, "-c", REPLACED % HIDDEN) as running:
        running.hear("attached")
        is_well(tmp_path, *billing, "status")
        running.process.send_signal(signal.SIGUSR1)
        running.hear("switched")
        for command in COMMANDS:
            left = told(tmp_path, *billing, *command)
            said = " ".join((left.stdout + left.stderr).split())
            assert left.returncode == ExitStatus.FINDINGS, left
            assert "task factory is __main__.library_factory" in said
            assert not any(words in said for words in WELL), left
        running.process.send_signal(signal.SIGUSR2)
        until(lambda: running.said.count("switched") == 2, "the ledger's factory is back")
        for command in COMMANDS:
            is_well(tmp_path, *billing, *command)
        status = ask(tmp_path, *billing, "status").stdout
        assert re.search(r"^tasks +2,00\d live", status, re.MULTILINE)


GOES_AROUND = """
import asyncio, itertools
from qcfeed import attach

async def wait():
    await asyncio.sleep(3600)

async def main():
    loop = asyncio.get_running_loop()
    attach("billing")
    kept = []
    for number in itertools.count():
        kept += [asyncio.Task(wait(), loop=loop) for _ in range(20)]
        if number == 1:
            print("leaking", flush=True)
        await asyncio.sleep(0.1)

asyncio.run(main())
"""


def test_a_leak_that_goes_around_the_task_factory_is_never_called_healthy(tmp_path: Path) -> None:
    billing = ("--instance", "billing")
    with program(tmp_path, "-c", GOES_AROUND) as running:
        running.hear("leaking")
        verdict: list[subprocess.CompletedProcess[str]] = []

        def is_told() -> bool:
            """By their growth in the window or, once they have been seen for longer, since then."""
            verdict[:] = [ask(tmp_path, *billing, "diagnose", "--window", "2s")]
            grown = r"UNTRACKED  ([\d,]+ more untracked tasks in |untracked tasks keep growing)"
            return re.match(grown, verdict[0].stdout) is not None

        until(is_told, "the verdict about untracked tasks")
        assert verdict[0].returncode == ExitStatus.FINDINGS, verdict
        assert "wait (" in verdict[0].stdout
        assert re.search(
            r"^tasks +\d+ live; .*; [\d,]+ untracked$",
            ask(tmp_path, *billing, "status").stdout,
            re.MULTILINE,
        )
        assert "is not known" in ask(tmp_path, *billing, "orphans").stderr


def test_a_service_that_ends_with_the_drill_on_puts_its_factory_back(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-monitor", "--drill", "replaced-factory=10") as running:
        until(
            lambda: ask(tmp_path, "orphans").returncode == ExitStatus.FINDINGS,
            "the drill to hide orphans",
        )
        assert running.end() == ExitStatus.OK
        assert not any("INCOMPLETE" in line for line in running.talk)


BLIND_TO_THE_END = """
import asyncio
from qcfeed.__main__ import run
from qcfeed.service.app import Service

stop = Service.stop

async def replaced(service):
    asyncio.get_running_loop().set_task_factory(
        lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options)
    )
    await stop(service)

Service.stop = replaced
run()
"""


def test_a_balance_that_may_leave_tasks_out_is_no_success(tmp_path: Path) -> None:
    arguments = ("--instance", "a", "serve", "--port", "0", "--no-monitor")
    with program(tmp_path, "-c", BLIND_TO_THE_END, *arguments) as running:
        running.hear("control ")
        assert running.end() == ExitStatus.FINDINGS
        assert "  INCOMPLETE: cannot see " in running.said
