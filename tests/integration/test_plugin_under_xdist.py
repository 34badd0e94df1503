"""The leak check where pytest-xdist spreads a suite over workers: said of the right test, once, and it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.patience import PATIENCE

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]

CLEAN = """
import asyncio
held = []

async def test_is_clean():
    await asyncio.create_task(asyncio.sleep(0))
"""
LEAKY = (
    CLEAN
    + """
async def test_leaks():
    held.append(asyncio.create_task(asyncio.sleep(3600), name="planted"))
"""
)
BY_HAND = """
import asyncio
held = []

def test_leaves():
    loop = asyncio.new_event_loop()
    async def main():
        held.append(asyncio.create_task(asyncio.sleep(3600), name="planted"))
    loop.run_until_complete(main())
    loop.close()
    held[0]._log_destroy_pending = False
"""


@pytest.fixture
def run(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs files of tests on two workers, each test under the leak check."""
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))
    # This run may itself be in a worker, whose marks would be taken for the inner run's.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str, **files: str) -> pytest.RunResult:
        pytester.makeini(
            "[pytest]\n"
            "qcfeed_no_task_leaks = true\n"
            "asyncio_mode = auto\n"
            "asyncio_default_fixture_loop_scope = function\n"
        )
        pytester.makepyfile(**files)
        return pytester.runpytest_subprocess(
            "-n2", "-v", "-pno:cacheprovider", "-pno:hypothesispytest", *args, timeout=5 * PATIENCE
        )

    return run


def test_a_leak_in_a_worker_is_reported_and_fails_the_run(run: Run) -> None:
    result = run(test_a=CLEAN, test_b=LEAKY, test_c=CLEAN)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*created: 2/2 workers*",
            "*ERROR at teardown of test_leaks*",
            "1 leaked task(s):",
            "  task * (planted) from test_b.py:* (test_leaks), *",
        ]
    )


@pytest.mark.parametrize(("rule", "errors", "warnings"), [("default", 0, 1), ("error", 1, 0)])
def test_a_worker_passes_on_the_warning_about_unchecked_loops(
    run: Run, rule: str, errors: int, warnings: int
) -> None:
    """The warning's own class crosses over: a rule that names it, or makes it an error, holds."""
    result = run(f"-W{rule}::qcfeed.pytest_plugin.UnjudgedWarning", test_a=BY_HAND, test_b=CLEAN)
    result.assert_outcomes(passed=2, errors=errors, warnings=warnings)
    result.stdout.fnmatch_lines(["*UnjudgedWarning: test_a.py::test_leaves leaves 1 pending task*"])
