"""What the whole suite needs. Its leak check is the plugin's: see pyproject.toml."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Generator, Iterator

import hypothesis
import pytest
from coverage import Coverage

from tests.support import leftovers
from tests.support.patience import PATIENCE

WORKERS_PER_PROCESSOR = 4
"""Of ``-n auto``: tests in docs/, drills/ and e2e/ mostly wait, so fewer leave processors idle."""
MOST_WORKERS = 16
"""Of a machine with many processors: there are no more files that take long."""

# No test is timed: on a busy machine an example takes as long as it takes.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test has ended has as long for it as a busy machine takes; a leak is one after that too."""
    for item in items:
        if item.get_closest_marker("no_task_leaks") is None:
            item.add_marker(pytest.mark.no_task_leaks(settle=PATIENCE))


def pytest_configure() -> None:
    # asyncio's debug mode logs every callback that takes 0.1 s: on a busy machine, any may.
    logging.getLogger("asyncio").addFilter(lambda each: not str(each.msg).startswith("Executing "))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # storms of thousands of connections have both ends in this process
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pytest_sessionfinish() -> None:
    # xdist waits for this, but ends a worker ten seconds later: a busy machine may need longer to save.
    if (measuring := Coverage.current()) is not None:
        measuring.save()


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail if a module's tests leave a child process or a thread of qcfeed, which later tests would have."""
    before, threads = leftovers.children(), leftovers.threads()
    yield
    left = [each for pid in leftovers.children() - before if (each := leftovers.described(pid))]
    left += [f"thread {each.name}" for each in leftovers.threads() - threads]
    assert not left, f"{request.path.name} leaves {', '.join(left)}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Without a number of one's own (PYTEST_XDIST_AUTO_NUM_WORKERS), which xdist itself reads."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return min(WORKERS_PER_PROCESSOR * len(os.sched_getaffinity(0)), MOST_WORKERS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logged of a stranger's bytes, as text that a worker can send."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report
