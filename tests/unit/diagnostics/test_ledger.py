from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcfeed.diagnostics import ledger as spawn
from qcfeed.diagnostics import turns
from qcfeed.diagnostics.ledger import Ledger, TaskRecord, owned_by
from qcfeed.diagnostics.site import Site
from tests.support.patience import PATIENCE

NEEDS_EAGER = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="eager tasks came with Python 3.12"
)
HERE = "tests/unit/diagnostics/test_ledger.py"


async def nothing() -> None: ...


async def forever() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise ValueError("on purpose")


async def ended(*tasks: asyncio.Future[Any]) -> None:
    await asyncio.wait(tasks)


def sites(ledger: Ledger) -> list[Site]:
    """The records of the test's own tasks; the ledger also has the task that runs the test."""
    ledger.settle()
    return [s for s in ledger.sites() if s.spawned and s.location.startswith(("tests/", "<"))]


def site_of(ledger: Ledger, function: str) -> Site:
    ledger.settle()
    return next(s for s in ledger.sites() if s.function.endswith(function) and s.spawned)


def counts(site: Site) -> dict[str, int]:
    outcomes, live = site.counts()
    return {name: n for name, n in outcomes._asdict().items() if n} | {"live": live}


def line() -> int:
    return sys._getframe(1).f_lineno


# ---------------------------------------------------------------- locations


async def test_a_site_is_the_line_that_calls_create_task(ledger: Ledger) -> None:
    task = asyncio.create_task(nothing())
    here = line() - 1
    await task
    site = site_of(ledger, "calls_create_task")
    assert site.location == f"{HERE}:{here}"
    assert site.function == "test_a_site_is_the_line_that_calls_create_task"


@pytest.mark.parametrize("way", ["create_task", "loop", "gather", "group", "wait_for", "ensure"])
async def test_every_way_to_spawn_is_recorded_under_its_caller(ledger: Ledger, way: str) -> None:
    if way == "create_task":
        await asyncio.create_task(nothing())
    elif way == "loop":
        await asyncio.get_running_loop().create_task(nothing())
    elif way == "gather":
        await asyncio.gather(nothing())
    elif way == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(nothing())
    elif way == "wait_for":
        await asyncio.wait_for(asyncio.ensure_future(nothing()), 5)
    else:
        await asyncio.ensure_future(nothing())
    site = site_of(ledger, "recorded_under_its_caller")
    assert counts(site) == {"finished": 1, "live": 0}
    assert site.location.startswith(HERE)


async def test_each_line_is_one_site(ledger: Ledger) -> None:
    for _ in range(3):
        await asyncio.create_task(nothing())
    await asyncio.create_task(nothing())
    assert sorted(s.spawned for s in sites(ledger)) == [1, 3]


async def test_a_task_spawned_by_asyncio_for_a_thread_is_recorded_under_asyncio(
    ledger: Ledger,
) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(
        lambda: asyncio.run_coroutine_threadsafe(nothing(), loop).result(PATIENCE)
    )
    locations = [s.location for s in ledger.sites() if s.spawned]
    assert any(location.startswith("asyncio/tasks.py:") for location in locations)


async def test_code_made_by_exec_has_a_location_too(ledger: Ledger) -> None:
    scope: dict[str, Any] = {"asyncio": asyncio, "nothing": nothing}
    exec(compile("\n\ndef go(): return asyncio.create_task(nothing())", "<string>", "exec"), scope)
    await scope["go"]()
    assert site_of(ledger, "go").location == "<string>:3"


async def test_the_number_of_sites_is_bounded_and_the_rest_goes_to_other(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "MAX_SITES", len(ledger.sites()) + 1)
    for n in range(5):
        scope: dict[str, Any] = {"asyncio": asyncio, "nothing": nothing}
        exec(f"def go_{n}(): return asyncio.create_task(nothing())", scope)
        await scope[f"go_{n}"]()
    assert len(sites(ledger)) == 2
    assert (ledger.other.location, ledger.other.spawned) == ("other", 3)


def test_locations_are_relative_to_the_longest_import_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qcfeed.diagnostics.site import short_path

    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "lib"), ""])
    assert short_path(str(tmp_path / "lib" / "feed.py")) == "feed.py"
    assert short_path(str(tmp_path / "library" / "feed.py")) == "library/feed.py"
    assert short_path("/elsewhere/feed.py") == "/elsewhere/feed.py"
    assert short_path("<string>") == "<string>"


# ---------------------------------------------------------------- counters


async def test_outcomes(ledger: Ledger) -> None:
    for coroutine, outcome in (
        (nothing(), "finished"), (forever(), "cancelled"), (failing(), "failed")
    ):  # fmt: skip
        task = asyncio.create_task(coroutine, name=outcome)
        await asyncio.sleep(0)
        task.cancel()
        await ended(task)
        # The test still holds it, and its end is recorded all the same:
        assert getattr(site_of(ledger, "test_outcomes"), outcome) == 1
        if outcome == "failed":
            assert task.exception() is not None
    assert counts(site_of(ledger, "test_outcomes")) == {
        "finished": 1, "cancelled": 1, "failed": 1, "live": 0
    }  # fmt: skip


async def test_serials_rise_and_find_the_live_only(ledger: Ledger) -> None:
    first, second = asyncio.create_task(forever()), asyncio.create_task(forever())
    await asyncio.sleep(0)
    serials = [record.serial for record in ledger.records() if record.site in sites(ledger)]
    assert sorted(set(serials)) == sorted(serials)
    records = [ledger.find(serial) for serial in sorted(serials)]
    assert [record.task for record in records if record] == [first, second]
    second.cancel()
    await ended(second)
    assert ledger.find(max(serials)) is None  # ended, though we hold it still
    assert ledger.find(10**9) is None
    first.cancel()
    await ended(first)


class Heard:
    """The calls of the loop's exception handler."""

    def __init__(self) -> None:
        self.contexts: list[dict[str, Any]] = []

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.contexts.append({"message": context["message"]})


@pytest.fixture
async def heard() -> Heard:
    heard = Heard()
    asyncio.get_running_loop().set_exception_handler(heard)
    return heard


def spawn_and_drop(*, chained: bool) -> weakref.ref[Any]:
    """A task that waits for something that is gone with it."""
    task = asyncio.get_running_loop().create_task(forever())
    return weakref.ref(task)


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.allow_task_leaks  # it destroys a pending task: that is its subject
async def test_a_pending_task_is_still_destroyed_and_counted_at_once(
    heard: Heard, *, chained: bool
) -> None:
    ledger = install(chained=chained)
    gone = spawn_and_drop(chained=chained)
    await asyncio.sleep(0)  # it runs, and waits
    gc.collect()
    assert gone() is None
    assert heard.contexts == [{"message": "Task was destroyed but it is pending!"}]
    assert counts(site_of(ledger, "spawn_and_drop")) == {"destroyed": 1, "live": 0}
    ledger.uninstall()


@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.allow_task_leaks  # it sets its own task factory
async def test_an_exception_never_retrieved_is_still_reported(
    heard: Heard, *, chained: bool
) -> None:
    ledger = install(chained=chained)
    asyncio.get_running_loop().create_task(failing())
    for _ in range(3):
        await asyncio.sleep(0)
    site = site_of(ledger, "still_reported")
    assert counts(site) == {"failed": 1, "live": 0}
    gc.collect()
    assert heard.contexts == [{"message": "Task exception was never retrieved"}]
    ledger.uninstall()


def plain_factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, **kwargs)


def install(*, chained: bool) -> Ledger:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(plain_factory if chained else None)
    ledger = Ledger()
    ledger.install(loop)
    return ledger


async def test_a_task_is_not_kept_alive(ledger: Ledger) -> None:
    task = asyncio.create_task(nothing())
    await task
    gone = weakref.ref(task)
    del task
    await asyncio.sleep(0)  # or the loop still holds what it has just run
    assert gone() is None
    assert counts(site_of(ledger, "not_kept_alive")) == {"finished": 1, "live": 0}


async def test_the_ledger_does_not_keep_an_owner_alive(ledger: Ledger) -> None:
    class Owner:
        closed = False

    owner = Owner()
    with owned_by(owner):
        task = asyncio.create_task(nothing())
    await task
    gone = weakref.ref(owner)
    del owner, task
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None


async def test_nothing_spawned_is_missing_while_threads_read_and_tasks_come_and_go(
    ledger: Ledger,
) -> None:
    """A booking is one step to a reader: a task is live or ended, never both or neither."""
    stop = threading.Event()
    faults: list[str] = []
    made = 0

    def read() -> None:
        while not stop.is_set():
            least = made
            spawned = sum(
                sum(outcomes) + live for outcomes, live in map(Site.counts, sites(ledger))
            )
            most = made + 100
            if not least <= spawned <= most:
                faults.append(f"{spawned}, but {least} to {most} were made")

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        tasks = [asyncio.create_task(nothing()) for _ in range(100)]
        made += 100
        await ended(*tasks)
        tasks.clear()  # now each task records its end
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert sum(s.spawned for s in sites(ledger)) == made
    assert sum(s.finished for s in sites(ledger)) == made


async def test_readers_let_the_loop_run_after_each_turn(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SLICE", 2)
    monkeypatch.setattr(turns, "READER_TURN_S", 0.5)
    now, slept = 100.0, []
    monkeypatch.setattr(turns.time, "monotonic", lambda: now)
    monkeypatch.setattr(turns.time, "sleep", slept.append)

    def read(spent: float) -> int:
        nonlocal now
        for _ in ledger.turns.slices(list(range(8))):
            now += spent
        return len(slept)

    assert await asyncio.to_thread(read, 0.2) == 1 + 1  # one that is due, and one for 0.8 s
    assert read(1.0) == 2  # never in the loop itself


# ---------------------------------------------------------------- owners


async def test_owners_are_inherited_and_cleared(ledger: Ledger) -> None:
    def owner() -> bool:
        return False

    owners: dict[str, object] = {}

    async def note(name: str) -> None:
        this = asyncio.current_task()
        owners[name] = next(record.owner for record in ledger.records() if record.task is this)
        if name == "child":
            await asyncio.create_task(note("grandchild"))
            with owned_by(None):
                await asyncio.create_task(note("cleared"))

    with owned_by(owner):
        await asyncio.create_task(note("child"))
    await asyncio.create_task(note("outside"))
    assert owners == {"child": owner, "grandchild": owner, "cleared": None, "outside": None}


# ---------------------------------------------------------------- the observed is left alone


def as_seen(task: asyncio.Task[Any]) -> tuple[str, str, str]:
    coroutine = task.get_coro()
    return type(task).__name__, coroutine.__qualname__, repr(task).split(" coro=")[0]  # type: ignore[union-attr]


@pytest.mark.allow_task_leaks  # it sets its own task factory
async def test_names_coroutines_and_cancellation_are_untouched() -> None:
    loop = asyncio.get_running_loop()
    seen = []
    for ledger in (None, Ledger()):
        loop.set_task_factory(None)
        if ledger is not None:
            ledger.install(loop)
        task = asyncio.create_task(forever(), name="mine")
        await asyncio.sleep(0)
        seen.append(as_seen(task))
        assert task.cancel("why") is True
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        unnamed = asyncio.create_task(nothing())
        assert unnamed.get_name().startswith("Task-")
        await unnamed
        if ledger is not None:
            ledger.uninstall()
    assert seen[0] == seen[1]


@pytest.mark.allow_task_leaks  # it sets its own task factory
async def test_the_traceback_of_debug_mode_is_the_same() -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    tracebacks = []
    for ledger in (None, Ledger()):
        loop.set_task_factory(None)
        if ledger is not None:
            ledger.install(loop)
        task = asyncio.create_task(nothing())
        tracebacks.append(source_lines(task))
        await task
        if ledger is not None:
            ledger.uninstall()
    assert tracebacks[0][-1][1].startswith("create_task")
    assert tracebacks[0] == tracebacks[1]


def source_lines(task: Any) -> list[tuple[str, str]]:
    frames: list[traceback.FrameSummary] = task._source_traceback
    return [(Path(frame.filename).name, frame.name) for frame in frames]


async def test_a_context_that_is_passed_is_the_tasks_context(ledger: Ledger) -> None:
    from contextvars import ContextVar, copy_context

    here: ContextVar[str] = ContextVar("here", default="no")
    context = copy_context()
    context.run(here.set, "yes")

    async def look() -> str:
        return here.get()

    assert await asyncio.create_task(look(), context=context) == "yes"
    assert site_of(ledger, "tasks_context").finished == 1


async def test_asyncio_still_refuses_anything_but_a_coroutine(ledger: Ledger) -> None:
    with pytest.raises(TypeError):
        asyncio.get_running_loop().create_task(42)  # type: ignore[arg-type]
    assert ledger.installed


@NEEDS_EAGER
@pytest.mark.allow_task_leaks  # it sets its own task factory
async def test_an_earlier_eager_factory_is_kept() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    ledger = Ledger()
    ledger.install(loop)
    ran = []

    async def eager() -> None:
        ran.append(1)

    task = asyncio.create_task(eager())
    assert ran == [1]
    assert task.done()
    waiting = asyncio.create_task(forever())
    site = site_of(ledger, "is_kept")
    await asyncio.sleep(0)
    assert sum(s.finished for s in ledger.sites()) == 1
    assert sum(s.live for s in ledger.sites()) == 1
    assert site.spawned == 1
    waiting.cancel()
    await ended(waiting)
    ledger.uninstall()
    assert loop.get_task_factory() is asyncio.eager_task_factory  # type: ignore[attr-defined]


@NEEDS_EAGER
async def test_eager_start_is_passed_on(ledger: Ledger) -> None:
    ran = []

    async def eager() -> None:
        ran.append(1)

    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    assert factory is not None
    task = factory(loop, eager(), eager_start=True)
    assert ran == [1]
    await task


# ---------------------------------------------------------------- coming and going


class Foreign:
    """A factory that was there first."""

    def __init__(self) -> None:
        self.made: list[asyncio.Task[Any]] = []

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        self.made.append(asyncio.Task(coro, loop=loop, **kwargs))
        return self.made[-1]


@pytest.fixture
def bare() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_it_calls_an_earlier_task_factory_and_restores_it(bare: asyncio.AbstractEventLoop) -> None:
    foreign = Foreign()
    bare.set_task_factory(foreign)
    ledger = Ledger()
    ledger.install(bare)
    bare.run_until_complete(nothing())
    assert len(foreign.made) == 1
    assert sum(s.finished for s in ledger.sites()) == 1
    ledger.uninstall()
    assert bare.get_task_factory() is foreign
    bare.run_until_complete(nothing())
    assert sum(s.spawned for s in ledger.sites()) == 1


def test_uninstall_leaves_a_factory_that_was_chained_later(
    bare: asyncio.AbstractEventLoop,
) -> None:
    ledger = Ledger()
    ledger.install(bare)
    ours = bare.get_task_factory()
    assert ours is not None

    def theirs(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> asyncio.Future[Any]:
        return ours(loop, coro, **kwargs)

    bare.set_task_factory(theirs)
    bare.run_until_complete(nothing())
    ledger.uninstall()
    bare.run_until_complete(nothing())
    assert bare.get_task_factory() is theirs
    assert sum(s.spawned for s in ledger.sites()) == 1


async def test_tasks_recorded_before_uninstall_are_followed_to_their_end(ledger: Ledger) -> None:
    task = asyncio.create_task(forever())
    ledger.uninstall()
    task.cancel()
    await ended(task)
    assert counts(site_of(ledger, "followed_to_their_end")) == {"cancelled": 1, "live": 0}


async def test_installing_twice_is_refused(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="already"):
        ledger.install(asyncio.get_running_loop())


@pytest.mark.allow_task_leaks  # two ledgers of its own
async def test_two_ledgers_on_one_loop() -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(None)
    inner, outer = Ledger(), Ledger()
    inner.install(loop)
    outer.install(loop)
    tasks = [asyncio.create_task(nothing()), asyncio.create_task(forever())]
    await tasks[0]
    for ledger in (inner, outer):
        ledger.settle()
        assert sum(s.finished for s in ledger.sites()) == 1
        assert sum(s.live for s in ledger.sites()) == 1
    tasks[1].cancel()
    await ended(*tasks)
    outer.uninstall()
    inner.uninstall()
    assert loop.get_task_factory() is None


@pytest.mark.parametrize("chained", [False, True])
def test_a_ledger_that_raises_uninstalls_itself_and_logs_it_once(
    bare: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    chained: bool,
) -> None:
    if chained:
        bare.set_task_factory(plain_factory)
    ledger = Ledger()
    ledger.install(bare)

    def broken(frame: Any) -> Site:
        raise LookupError("broken on purpose")

    monkeypatch.setattr(ledger, "_find_site", broken)
    for _ in range(3):
        assert bare.run_until_complete(asyncio.sleep(0, "ran")) == "ran"
    assert bare.get_task_factory() is (plain_factory if chained else None)
    assert ledger.failure == "LookupError: broken on purpose"
    assert not ledger.installed
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("qcfeed.diagnostics", logging.ERROR)


def test_a_factory_that_returns_no_tasks_is_left_alone(
    bare: asyncio.AbstractEventLoop,
) -> None:
    class NamedFuture(asyncio.Future[str]):
        def set_name(self, name: object) -> None: ...

    def futures(loop: asyncio.AbstractEventLoop, coro: Any, **_: Any) -> Any:
        coro.close()
        future = NamedFuture(loop=loop)
        future.set_result("a future")
        return future

    bare.set_task_factory(futures)
    ledger = Ledger()
    ledger.install(bare)
    assert bare.run_until_complete(nothing()) == "a future"  # type: ignore[func-returns-value]
    assert ledger.installed
    assert sum(s.spawned for s in ledger.sites()) == 0


async def test_a_record_knows_its_task(ledger: Ledger) -> None:
    task = asyncio.create_task(forever())
    site = site_of(ledger, "knows_its_task")
    (record,) = [record for record in ledger.records() if record.site is site]
    assert isinstance(record, TaskRecord)
    assert record.task is task
    assert record.created_at <= time.monotonic()
    task.cancel()
    await ended(task)
