"""A trace of allocations over the real control plane: audited, one at a time, and ended for sure."""

from __future__ import annotations

import contextlib
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qcfeed.control.handlers import memory
from qcfeed.control.routes import MEMORY_TRACE
from qcfeed.errors import NeedsConfirmationError, QcfeedError
from qcfeed.model.memory import MemoryTrace, TraceRequest
from tests.support.patience import PATIENCE


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(plane: Any, seconds: float) -> MemoryTrace:
    request = TraceRequest(seconds=seconds, timeout_s=PATIENCE)
    answer: MemoryTrace = plane.client().post(MEMORY_TRACE, request, MemoryTrace)
    return answer


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a trace has begun; it may be over before a busy machine looks for it."""
    event, start = threading.Event(), tracemalloc.start

    def started(frames: int) -> None:
        start(frames)
        event.set()

    monkeypatch.setattr(tracemalloc, "start", started)
    return event


@contextlib.contextmanager
def under_way(plane: Any, begun: threading.Event, seconds: float) -> Iterator[None]:
    """A trace that has begun. Its client goes away at the end of the block."""
    client = plane.client()

    def traced() -> None:
        with contextlib.suppress(QcfeedError):
            client.post(
                MEMORY_TRACE, TraceRequest(seconds=seconds, timeout_s=PATIENCE), MemoryTrace
            )

    thread = threading.Thread(target=traced, daemon=True)
    thread.start()
    assert begun.wait(PATIENCE)
    try:
        yield
    finally:
        client.abort()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def test_it_is_audited_and_ends(watched: Any, serve: Any) -> None:
    plane = serve(routes=memory.routes(watched.ledger))
    answer = ask(plane, 0.2)
    assert 0.2 <= answer.seconds < PATIENCE
    assert not tracemalloc.is_tracing()
    assert [line["action"] for line in plane.lines()] == ["memory trace"] * 2
    assert plane.lines()[-1]["outcome"] == "done"


def test_it_ends_in_time_though_its_client_has_gone(
    watched: Any, serve: Any, begun: threading.Event
) -> None:
    plane = serve(routes=memory.routes(watched.ledger))
    with under_way(plane, begun, 0.5):
        pass
    until(lambda: not tracemalloc.is_tracing())
    until(lambda: len(plane.lines()) == 2)
    assert plane.lines()[-1]["outcome"] == "done"


def test_it_ends_in_time_while_the_loop_is_stuck(
    watched: Any, serve: Any, begun: threading.Event
) -> None:
    plane = serve(routes=memory.routes(watched.ledger))
    thread = threading.Thread(target=lambda: ask(plane, 0.5), daemon=True)
    thread.start()
    assert begun.wait(PATIENCE)
    watched.block()
    until(lambda: not tracemalloc.is_tracing())
    watched.release()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_it_ends_with_the_control_plane(watched: Any, serve: Any) -> None:
    plane = serve(routes=memory.routes(watched.ledger))
    failed: list[Exception] = []

    def traced() -> None:
        try:
            ask(plane, 60)
        except QcfeedError as error:
            failed.append(error)

    thread = threading.Thread(target=traced, daemon=True)
    thread.start()
    until(tracemalloc.is_tracing)
    plane.server.stop()
    until(lambda: not tracemalloc.is_tracing())
    thread.join(PATIENCE)
    assert failed


def test_a_second_one_is_refused(watched: Any, serve: Any, begun: threading.Event) -> None:
    plane = serve(routes=memory.routes(watched.ledger))
    with (
        under_way(plane, begun, memory.MAX_TRACE),
        pytest.raises(NeedsConfirmationError, match="running already"),
    ):
        ask(plane, 0.1)
    plane.server.stop()  # which ends it
    until(lambda: not tracemalloc.is_tracing())
