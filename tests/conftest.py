"""The whole suite runs under our own leak check."""

from __future__ import annotations

import inspect
import resource
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from qcfeed.diagnostics.leakcheck import verify_no_leaks


def pytest_configure(config: pytest.Config) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # storms of thousands of connections have both ends in this process
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    config.addinivalue_line(
        "markers", "allow_task_leaks: this test may leave tasks behind; the reason goes beside it"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        asynchronous = inspect.iscoroutinefunction(getattr(item, "obj", None))
        if asynchronous and item.get_closest_marker("allow_task_leaks") is None:
            # First, so that it judges last: when the test's own fixtures are torn down.
            item.fixturenames.insert(0, "no_task_leaks")  # type: ignore[attr-defined]


@pytest_asyncio.fixture
async def no_task_leaks() -> AsyncIterator[None]:
    async with verify_no_leaks():
        yield
