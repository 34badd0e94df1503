"""The plugin, in pytest runs of its own: that it finds leaks, and that it leaves others alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qcfeed.diagnostics import interpreter
from tests.support.patience import PATIENCE

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.allow_task_leaks  # those of the runs inside this one

Run = Callable[..., pytest.RunResult]

HELD = """
import asyncio, contextlib, pytest
held = []
def leak(name=None):
    held.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600), name=name))
"""
SWITCH = "qcfeed_no_task_leaks = true"
SOON = "pytestmark = pytest.mark.no_task_leaks(settle=0.2)\n"


@pytest.fixture
def run(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs tests, with lines of configuration; warnings are errors."""
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))

    def run(tests: str, *ini: str, alone: bool = False) -> pytest.RunResult:
        settings = ["filterwarnings = error", "asyncio_default_fixture_loop_scope = function", *ini]
        pytester.makeini("\n".join(["[pytest]", *settings]))
        pytester.makepyfile(HELD + tests)
        begin = pytester.runpytest_subprocess if alone else pytester.runpytest_inprocess
        # hypothesis is imported anew for each run inside this one, for nothing.
        without = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest")]
        return begin(*without, "-q", "--strict-markers")

    return run


COMMON = """
{mark}
async def test_leaks():
    leak()

{mark}
async def test_is_clean():
    await asyncio.create_task(asyncio.sleep(0))

{mark}
async def test_is_ending():
    held.append(asyncio.create_task(asyncio.sleep(0.05)))

@pytest.mark.allow_task_leaks
{mark}
async def test_may_leak():
    leak()

{fixture}
async def server():
    task = asyncio.create_task(asyncio.sleep(3600))
    yield
    task.cancel()

{mark}
async def test_its_fixture_tidies_up(server): ...

{fixture}
async def untidy():
    leak()
    yield

{mark}
async def test_its_fixture_does_not(untidy): ...

def test_synchronous(): ...
"""
FRAMEWORKS = {
    "asyncio-auto": ("", "@pytest.fixture", ("asyncio_mode = auto",)),
    "asyncio-strict": (
        "@pytest.mark.asyncio",
        "@__import__('pytest_asyncio').fixture",
        ("asyncio_mode = strict",),
    ),
    "anyio": (
        "@pytest.mark.anyio\n@pytest.mark.parametrize('anyio_backend', ['asyncio'])",
        "@pytest.fixture",
        ("asyncio_mode = strict",),
    ),
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_leaks_are_found_under(run: Run, framework: str) -> None:
    mark, fixture, ini = FRAMEWORKS[framework]
    result = run(SOON + COMMON.format(mark=mark, fixture=fixture), *ini)
    result.assert_outcomes(passed=7, errors=2)
    result.stdout.fnmatch_lines(["*ERROR *::test_leaks*", "*ERROR *::test_its_fixture_does_not*"])


@pytest.mark.parametrize("scope", ["module", "session"])
def test_loops_that_tests_share(run: Run, scope: str) -> None:
    """Tasks of a shared fixture may stay; what a test leaves is said of that test, and once."""
    tests = f"""
import pytest_asyncio
pytestmark = [
    pytest.mark.asyncio(loop_scope="{scope}"), pytest.mark.no_task_leaks(settle=0.2)
]

@pytest_asyncio.fixture(scope="{scope}", loop_scope="{scope}")
async def server():
    task = asyncio.create_task(asyncio.sleep(3600))
    yield
    task.cancel()

async def test_one(server): ...
async def test_leaks(server): leak()
async def test_three(server): ...
"""
    result = run(tests, "asyncio_mode = strict")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["ERROR *::test_leaks*"])


def test_plain_tests_that_run_a_loop(run: Run) -> None:
    tests = """
import unittest

def test_leaks():
    async def main(): leak()
    asyncio.run(main())

def test_is_clean():
    asyncio.run(asyncio.sleep(0))

def test_two_loops_leak():
    async def main(): leak()
    asyncio.run(main())
    asyncio.run(main())

class Tests(unittest.IsolatedAsyncioTestCase):
    async def test_leaks_too(self): leak()
    async def test_is_clean(self): ...
"""
    result = run(SOON + tests, "asyncio_mode = auto")
    result.assert_outcomes(passed=5, errors=3)
    # Where CI is set, pytest says it all once more in its summary.
    said = result.stdout.str().partition("short test summary")[0]
    assert said.count("1 leaked task(s):\n  task") == 4


def test_the_error_has_location_age_and_wait(run: Run) -> None:
    tests = """
async def wait_for_ever():
    await asyncio.Event().wait()

async def test_leaks():
    held.append(asyncio.create_task(wait_for_ever(), name="a name"))
"""
    result = run(tests, SWITCH, "asyncio_mode = auto")
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaks*",
            "1 leaked task(s):",
            "  task * (a name) from test_*.py:* (test_leaks), 1.* s old, *Event.wait*",
            "      test_*.py:* wait_for_ever",
            "      asyncio/locks.py:* Event.wait",
        ]
    )


def test_the_marker_checks_one_test(run: Run) -> None:
    tests = """
async def test_not_asked(): leak()

@pytest.mark.no_task_leaks(settle=0.01)
async def test_asked(): leak()

@pytest.mark.no_task_leaks(ignore=["name:poll-*"], settle=0.01)
async def test_ignores(): leak("poll-1")

@pytest.mark.no_task_leaks(settle=0.01)
async def test_ignores_nothing(): leak("poll-1")

@pytest.mark.no_task_leaks(settel=1)
async def test_misspelt(): ...
"""
    result = run(tests, "asyncio_mode = auto")
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines(
        ["ERROR *::test_asked*", "ERROR *::test_ignores_nothing*", "ERROR *::test_misspelt*"]
    )
    result.stdout.fnmatch_lines(["*no_task_leaks() got an unexpected keyword argument 'settel'*"])


def test_ignoring_for_the_whole_suite(run: Run) -> None:
    tests = """
from qcfeed.diagnostics.labels import label

async def test_by_name(): leak("poll-1")
async def test_by_label():
    with label(kind="background"): leak()
def spawn(): leak()
async def test_neither(): leak()
"""
    ignored = ("qcfeed_ignored_task_leaks =", "  name:poll-*", "  label:kind=background")
    result = run(SOON + tests, *ignored, "asyncio_mode = auto")
    result.assert_outcomes(passed=3, errors=1)
    by_location = ("qcfeed_ignored_task_leaks = test_*.py:*",)
    result = run(SOON + tests, *by_location, "asyncio_mode = auto")
    result.assert_outcomes(passed=3)


def test_a_failing_test_reports_its_failure_and_not_its_leaks(run: Run) -> None:
    tests = """
async def test_fails():
    leak()
    assert 0
"""
    result = run(tests, SWITCH, "asyncio_mode = auto")
    result.assert_outcomes(failed=1)


def test_asyncio_is_as_it_was_and_factories_too(run: Run) -> None:
    tests = """
run, close, get_loop = asyncio.Runner.run, asyncio.Runner.close, asyncio.Runner.get_loop
pytestmark = pytest.mark.asyncio(loop_scope="module")
loops = []

@pytest.mark.no_task_leaks
async def test_watched():
    assert asyncio.Runner.run is not run
    assert asyncio.get_running_loop().get_task_factory() is not None

async def test_not_watched():
    assert (asyncio.Runner.run, asyncio.Runner.close) == (run, close)
    assert asyncio.Runner.get_loop is get_loop
    assert asyncio.get_running_loop().get_task_factory() is None
"""
    result = run(tests, "asyncio_mode = strict")
    result.assert_outcomes(passed=2)


def test_without_markers_or_option_nothing_is_imported(run: Run) -> None:
    tests = """
import sys
async def test_nothing():
    ours = {name for name in sys.modules if name.startswith("qcfeed")}
    assert ours == {"qcfeed", "qcfeed.pytest_plugin"}
"""
    result = run(tests, "asyncio_mode = auto", alone=True)
    result.assert_outcomes(passed=1)


def test_the_plugin_is_registered_by_its_entry_point(tmp_path: Path) -> None:
    """By its entry point: in a directory that knows nothing of the project."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--markers", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "@pytest.mark.no_task_leaks(" in done.stdout
    assert "@pytest.mark.allow_task_leaks:" in done.stdout


WARNED = """
pytestmark = pytest.mark.filterwarnings("always::qcfeed.pytest_plugin.UnjudgedWarning")
"""


def test_tasks_left_in_a_loop_created_by_hand_give_a_warning(run: Run) -> None:
    result = run(
        WARNED
        + """
def work(leave):
    loop = asyncio.new_event_loop()
    async def main():
        leak(name="left behind") if leave else await asyncio.create_task(asyncio.sleep(0))
    loop.run_until_complete(main())
    loop.close()

def test_leaves(): work(True)
def test_tidies_up(): work(False)

def test_lets_go():
    work(True)
    held.pop()._log_destroy_pending = False
""",
        SWITCH,
    )
    result.assert_outcomes(passed=3, warnings=1)
    result.stdout.fnmatch_lines(
        ["*test_leaves leaves 1 pending task(s) in an event loop created by hand*",
         "*left behind: sleep, sleeping*"]
    )  # fmt: skip


@pytest.mark.parametrize(("asked", "warnings"), [("mark", 1), ("switch", 0)])
def test_a_marked_test_on_trio_gets_a_warning(run: Run, asked: str, warnings: int) -> None:
    mark = "@pytest.mark.no_task_leaks" if asked == "mark" else ""
    result = run(
        WARNED
        + f"""
import trio

{mark}
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_it():
    await trio.sleep(0)
""",
        "asyncio_mode = strict",
        *([SWITCH] if asked == "switch" else []),
    )
    result.assert_outcomes(passed=1, warnings=warnings)
    if warnings:
        result.stdout.fnmatch_lines(["*test_it*runs on trio; no_task_leaks checks asyncio only*"])


AROUND = """
async def waits():
    await asyncio.sleep(3600)

def plain(loop, coro, **options):
    return asyncio.Task(coro, loop=loop, **options)

{mark}
async def test_factory_replaced():
    asyncio.get_running_loop().set_task_factory({factory})
    held.append(asyncio.create_task(waits()))

{mark}
async def test_factory_replaced_and_clean():
    asyncio.get_running_loop().set_task_factory({factory})
    task = asyncio.create_task(waits())
    task.cancel()
    await asyncio.wait([task])

def test_factory_of_a_runner():
    async def main():
        held.append(asyncio.create_task(waits()))
    with asyncio.Runner() as runner:
        runner.get_loop().set_task_factory({factory})
        runner.run(main())

def test_factory_of_a_new_loop():
    def new():
        loop = asyncio.new_event_loop()
        loop.set_task_factory({factory})
        return loop
    async def main():
        held.append(asyncio.create_task(waits()))
    with asyncio.Runner(loop_factory=new) as runner:
        runner.run(main())
"""
EAGER = pytest.param(
    "asyncio.eager_task_factory",
    marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12"),
)


@pytest.mark.parametrize("factory", ["plain", "None", EAGER])
def test_a_replaced_task_factory_hides_no_leak(run: Run, factory: str) -> None:
    tests = AROUND.format(factory=factory, mark="@pytest.mark.asyncio")
    result = run(SOON + tests)
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines(
        ["*untracked task (*) of waits, sleeping *; created around the ledger, so its line is*"]
    )
    assert "test_factory_replaced_and_clean - " not in result.stdout.str()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_eager_task_that_bypasses_the_factory_is_found(run: Run) -> None:
    result = run(
        SOON
        + """
async def waits():
    await asyncio.sleep(3600)

@pytest.mark.asyncio
async def test_leaks():
    held.append(asyncio.Task(waits(), loop=asyncio.get_running_loop(), eager_start=True))
"""
    )
    result.assert_outcomes(passed=1, errors=1)


@pytest.fixture
def free_threaded(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = interpreter.judge("cpython", (3, 14), free_threaded=True)
    monkeypatch.setattr(interpreter, "refusal", lambda: refused)


@pytest.mark.usefixtures("free_threaded")
def test_a_suite_with_the_option_does_not_run_on_an_unsupported_interpreter(run: Run) -> None:
    result = run("def test_ok(): ...", SWITCH)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: no_task_leaks: this Python 3.14 is a free-threaded build: *"]
    )


@pytest.mark.usefixtures("free_threaded")
def test_a_marked_test_fails_on_an_unsupported_interpreter(run: Run) -> None:
    result = run("@pytest.mark.no_task_leaks\ndef test_asks(): ...\ndef test_does_not(): ...")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["no_task_leaks: this Python 3.14 is a free-threaded build: *"])
