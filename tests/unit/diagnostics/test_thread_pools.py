"""The thread pools of the process, and in which one a call waits."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from qcfeed.diagnostics.thread_pools import ThreadPool, pool_of, pools

HERE = "tests/unit/diagnostics/test_thread_pools.py"


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


class Busy:
    """A call that tells when it runs, and runs until it is released."""

    def __init__(self, release: threading.Event) -> None:
        self.runs = threading.Event()
        self.release = release

    def __call__(self) -> None:
        self.runs.set()
        self.release.wait()


def pool(executor: ThreadPoolExecutor) -> ThreadPool:
    (found,) = (each for each in pools() if each.executor is executor)
    return found


def test_a_pool_with_an_idle_thread_is_not_full(release: threading.Event) -> None:
    with ThreadPoolExecutor(2, "some") as executor:
        executor.submit(int).result()
        while pool(executor).describe().startswith("1"):  # its thread is still on the way back
            time.sleep(0.001)
        found = pool(executor)
        assert (found.name, found.size, found.queued, found.is_full) == ("some", 2, 0, False)
        assert found.describe() == "0 of 2 threads busy, 0 calls queued"
        assert found.at() == ""
        busy = Busy(release)
        executor.submit(busy)
        busy.runs.wait()
        found = pool(executor)
        assert found.describe() == "1 of 2 threads busy, 0 calls queued"
        assert not found.is_full
        assert found.at().startswith(f"{HERE}:")
        assert " Busy.__call__ (1 of " in found.at()
        release.set()


def test_a_full_pool_and_the_pool_of_each_call(release: threading.Event) -> None:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        calls: dict[ThreadPoolExecutor, concurrent.futures.Future[None]] = {}
        for executor in (one, two):
            busy = Busy(release)
            running = executor.submit(busy)
            busy.runs.wait()
            calls[executor] = executor.submit(int)
            assert pool_of(running, [pool(executor)]) is not None
        among = [pool(one), pool(two)]
        assert [each.is_full for each in among] == [True, True]
        for executor, call in calls.items():
            found = pool_of(call, among)
            assert found is not None
            assert found.executor is executor
        assert pool_of(running, among) is None  # which of the two is not known
        assert pool_of(concurrent.futures.Future(), among) is None
        release.set()


def test_a_call_of_a_process_pool_is_attributed_to_no_thread_pool(release: threading.Event) -> None:
    with (
        ThreadPoolExecutor(1) as threads,
        ProcessPoolExecutor(1, get_context("spawn")) as processes,
    ):
        busy = Busy(release)
        threads.submit(busy)
        busy.runs.wait()
        queued = threads.submit(int)
        among = [pool(threads)]
        other = processes.submit(int)
        assert pool_of(other, among) is None
        found = pool_of(queued, among)
        assert found is not None
        assert found.executor is threads
        other.result()
        release.set()


def test_a_pool_is_forgotten_when_its_threads_have_ended() -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        assert pool(executor)
    assert executor not in [each.executor for each in pools()]
