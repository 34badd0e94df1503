"""The job thread of ``qcfeed top``: the control client is synchronous, and the screen must not block."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable
from functools import partial

Job = Callable[[], object]


class JobThread:
    """Runs jobs in a thread, one after the other, and in between runs ``refresh`` every few seconds.

    What a job returns or raises goes to ``deliver``, which is called in that thread. ``stop``
    waits until the thread has ended; ``cancel`` must make a running job end soon.
    """

    def __init__(
        self,
        refresh: Job,
        deliver: Callable[[object], None],
        *,
        every: float,
        cancel: Callable[[], None],
    ) -> None:
        self._refresh = refresh
        self._deliver = deliver
        self._every = every
        self._cancel = cancel
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        # In the context of the command line: texts depend on its target (cli/target.py).
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="qcfeed-top")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and join it."""
        self._stopping.set()
        self._jobs.put(None)
        self._cancel()
        if self._thread.ident is not None:
            self._thread.join()

    def do(self, job: Job) -> None:
        """Run a job after the current one."""
        self._jobs.put(job)

    def refresh(self) -> None:
        """Refresh now instead of at the next interval."""
        self._jobs.put(self._refresh)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                job = self._jobs.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                job = self._refresh
            if job is None:
                return
            result = _result_of(job)
            if job == self._refresh:
                due = time.monotonic() + self._every
            if not self._stopping.is_set():
                self._deliver(result)


def _result_of(job: Job) -> object:
    try:
        return job()
    except Exception as error:  # noqa: BLE001 - delivered like a result; the application handles it
        return error
