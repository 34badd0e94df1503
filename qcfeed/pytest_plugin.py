"""A pytest plugin that reports an error for a test that leaves asyncio tasks behind.

Mark a test to have it checked::

    @pytest.mark.no_task_leaks(ignore=["name:poll-*"], settle=2.0)
    async def test_the_session_cleans_up(): ...

``ignore``: shell patterns of tasks that may stay (a spawn location, ``name:PATTERN`` or
``label:KEY=PATTERN``). ``settle``: seconds that tasks get to end after the test; 1 by default.
``qcfeed_no_task_leaks = true`` in pytest's configuration checks every test that is not marked
``allow_task_leaks``; ``qcfeed_ignored_task_leaks`` has patterns for all tests.

Without a marker and without that option the plugin does nothing and imports nothing.
diagnostics/runners.py explains which event loops are checked. If a marked test leaves tasks in a loop
that cannot be checked, it gets an UnjudgedWarning. On a Python that is not supported
(diagnostics/interpreter.py) it fails.
Cost per checked test: a ledger (see ``Ledger``), and one turn of each loop.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from qcfeed.diagnostics.runners import RunnerWatch

SWITCH = "qcfeed_no_task_leaks"
IGNORED = "qcfeed_ignored_task_leaks"
CHECKED = (
    "no_task_leaks(*, ignore=(), settle=1.0): report an error if this test leaves an asyncio task"
    " behind; ignore: shell patterns of spawn locations, name:PATTERN or label:KEY=PATTERN;"
    " settle: seconds that tasks get to end"
)
EXEMPT = "allow_task_leaks: this test may leave tasks behind; give the reason in a comment"
_LISTED = 5


class UnjudgedWarning(pytest.PytestWarning):
    """A test is checked for leaks, but some of its event loops cannot be."""


_watch: pytest.StashKey[RunnerWatch | None] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        SWITCH, "report tests that leave an asyncio task behind", type="bool", default=False
    )
    parser.addini(
        IGNORED,
        "asyncio tasks that may be left behind, one pattern per line: a spawn location"
        " (tests/feed.py:*), name:PATTERN or label:KEY=PATTERN",
        type="linelist",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in (CHECKED, EXEMPT):
        config.addinivalue_line("markers", marker)
    if config.getini(SWITCH) and (refused := _refusal()) is not None:
        raise pytest.UsageError(refused)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    marker = item.get_closest_marker("no_task_leaks")
    is_marked = marker is not None or item.config.getini(SWITCH)
    if is_marked and item.get_closest_marker("allow_task_leaks") is None:
        if (refused := _refusal()) is not None:
            pytest.fail(refused, pytrace=False)
        given = {} if marker is None else marker.kwargs
        item.config.stash[_watch] = no_task_leaks(item.config, **given)
        if marker is not None and _is_on_trio(item):
            warnings.warn(
                UnjudgedWarning(f"{item.nodeid} runs on trio; no_task_leaks checks asyncio only"),
                stacklevel=1,
            )
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Tasks of a fixture that several tests share may outlive this test."""
    watch = None if fixturedef.scope == "function" else request.config.stash.get(_watch, None)
    with contextlib.nullcontext() if watch is None else watch.excusing():
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    watch = item.config.stash.get(_watch, None)
    try:
        yield
    finally:
        leaks = [] if watch is None else watch.stop()
        item.config.stash[_watch] = None
    if leaks:
        from qcfeed.formats import printable_lines  # imported here: only a leak needs it

        pytest.fail(printable_lines("\n".join(map(str, leaks))), pytrace=False)
    if watch is not None and watch.unjudged:
        warnings.warn(UnjudgedWarning(_left(item, watch.unjudged)), stacklevel=1)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A test that failed often leaves tasks behind; only its own failure is reported."""
    watch = item.config.stash.get(_watch, None)
    if watch is not None and call.excinfo is not None:
        watch.forgive()


def _refusal() -> str | None:
    """Why leaks cannot be checked on this Python; None if they can."""
    from qcfeed.diagnostics import interpreter

    refused = interpreter.refusal()
    return None if refused is None else f"no_task_leaks: {refused.message}; {refused.hint}"


def _is_on_trio(item: pytest.Item) -> bool:
    """Whether anyio runs the test on trio: its parameter is ``"trio"`` or a tuple with options."""
    backend = getattr(getattr(item, "callspec", None), "params", {}).get("anyio_backend")
    return "trio" in (backend, *(backend if isinstance(backend, tuple) else ()))


def _left(item: pytest.Item, tasks: list[str]) -> str:
    shown = "".join(f"\n  {task}" for task in tasks[:_LISTED])
    more = f"\n  and {len(tasks) - _LISTED} more" if len(tasks) > _LISTED else ""
    return (
        f"{item.nodeid} leaves {len(tasks)} pending task(s) in an event loop created by hand, which"
        f" no_task_leaks does not check; run it with asyncio.Runner{shown}{more}"
    )


def no_task_leaks(
    config: pytest.Config, *, ignore: tuple[str, ...] = (), settle: float = 1.0
) -> RunnerWatch:
    """A started watch. Named like the marker, because a TypeError about a misspelled argument of the
    marker shows this name."""
    from qcfeed.diagnostics.runners import RunnerWatch

    watch = RunnerWatch(settle=settle, ignore=[*config.getini(IGNORED), *ignore])
    watch.start()
    return watch
