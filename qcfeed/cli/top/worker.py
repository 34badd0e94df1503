"""The one thread that asks: the control plane's client is synchronous, and the screen must not wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

Job = Callable[[], object]


class Asker:
    """Does one job after the other in a thread of its own, and between them looks every so often.

    Whatever a job returns or raises goes to ``tell``, which must take it from any thread. Start it,
    and stop it: ``stop`` returns when the thread has ended, at once if ``cancel`` makes its job end.
    """

    def __init__(
        self, look: Job, tell: Callable[[object], None], *, every: float, cancel: Callable[[], None]
    ) -> None:
        self._look = look
        self._tell = tell
        self._every = every
        self._cancel = cancel
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="qcfeed-top")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and joins it."""
        self._stopping.set()
        self._jobs.put(None)
        self._cancel()
        if self._thread.ident is not None:
            self._thread.join()

    def do(self, job: Job) -> None:
        """As soon as what is being asked has been answered."""
        self._jobs.put(job)

    def look(self) -> None:
        """Look now, and not only when it is time."""
        self._jobs.put(self._look)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                job = self._jobs.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                job = self._look
            if job is None:
                return
            told = _done(job)
            if job == self._look:
                due = time.monotonic() + self._every
            if not self._stopping.is_set():
                self._tell(told)


def _done(job: Job) -> object:
    try:
        return job()
    except Exception as error:  # noqa: BLE001 - told, and raised again where it can be seen
        return error
