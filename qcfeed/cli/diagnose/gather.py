"""Two looks at a running service, some seconds apart: the evidence that the verdict is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from qcfeed.cli.context import Options
from qcfeed.cli.growth.source import point
from qcfeed.cli.ui import render
from qcfeed.control.routes import (
    FEEDS,
    HISTORY,
    ORPHANS,
    PROCESS,
    STATUS,
    SUBSCRIBERS,
    TASKS_BY_LOCATION,
    TASKS_FINDINGS,
)
from qcfeed.diagnose.evidence import DiagnosisThresholds, Evidence
from qcfeed.errors import NotFoundError, QcfeedError, TimedOutError, UnreachableError
from qcfeed.metrics.growth import Point
from qcfeed.model.answers import Answer, Feeds, Orphans, Process, Status, TasksByLocation
from qcfeed.model.findings import Findings
from qcfeed.model.history import History
from qcfeed.model.subscribers import Subscribers

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

ORPHANS_LISTED = 500
"""Of all ages."""
SLOW_LISTED = 100
"""Subscribers that are behind, the furthest first."""
READINGS = 12
"""Of memory, between the two looks."""
LEAST_PAUSE = 0.2


class Asked(Protocol):
    """Who answers: a control plane."""

    def get(self, path: str, answer_type: type[AnyAnswer], **params: object) -> AnyAnswer: ...


def command(given: Options) -> str:
    """How the program is called for the same service: ``qcfeed --instance billing``."""
    for option, value in (
        ("--context", given.context),
        ("--instance", given.instance),
        ("--socket", given.socket),
        ("--url", given.url),
    ):
        if value is not None:
            return f"qcfeed {option} {value}"
    return "qcfeed"


def gather(
    asked: Asked,
    seconds: float,
    *,
    called: str = "qcfeed",
    thresholds: DiagnosisThresholds | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Evidence:
    """The evidence of the next ``seconds``.

    What cannot be told is named in ``untold``; raises only what the first snapshot does. A part that
    does not answer in time is the last that is asked for, so it takes ``seconds`` and twice the
    client's timeout at most.
    """
    look = Look(asked)
    before = asked.get(TASKS_BY_LOCATION, TasksByLocation)
    samples = _sample(look, seconds, wait)
    return conclude(look, before, samples, called=called, thresholds=thresholds)


def conclude(
    look: Look,
    before: TasksByLocation,
    samples: list[Point],
    *,
    called: str = "qcfeed",
    thresholds: DiagnosisThresholds | None = None,
) -> Evidence:
    """The second look, and with it the evidence since ``before``; it raises nothing."""
    after = look.part("tasks", TASKS_BY_LOCATION, TasksByLocation, waits=True, sources=True)
    status, held = look.whole()
    remembers = look.part("history", HISTORY, History)
    slow = None
    if status is not None:
        slow = look.part("subscribers", SUBSCRIBERS, Subscribers, slow=True, limit=SLOW_LISTED)
    feeds = look.part("feeds", FEEDS, Feeds) if status is not None else None
    return Evidence(
        before=before,
        after=after or before,
        memory=held.memory if held is not None else None,
        status=status,
        findings=look.part("what the rules found", TASKS_FINDINGS, Findings),
        orphans=look.part("orphans", ORPHANS, Orphans, limit=ORPHANS_LISTED, spread=True),
        feeds=feeds.feeds if feeds is not None else [],
        slow=slow.subscribers if slow is not None else [],
        samples=samples,
        history=[point(each) for each in remembers.points] if remembers is not None else [],
        history_source="the service",
        skipped=look.all_untold(),
        command=called,
        thresholds=thresholds or DiagnosisThresholds(),
    )


class Look:
    """Asks for one part after the other; what fails is noted."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._untold: dict[str, str] = {}
        self._notes: list[str] = []
        self._silent: str | None = None
        self._attached = False

    def part(
        self, what: str, path: str, kind: type[AnyAnswer], **params: object
    ) -> AnyAnswer | None:
        if self._silent is not None:
            self._untold[what] = self._silent
            return None
        try:
            answer = self._asked.get(path, kind, **params)
        except QcfeedError as error:
            self._untold[what] = error.message
            if isinstance(error, TimedOutError | UnreachableError):
                self._silent = error.message
            return None
        if isinstance(answer, Findings):
            self._notes += answer.skipped
        return answer

    def whole(self) -> tuple[Status | None, Status | Process | None]:
        """The service as one answer, and what any program has of it."""
        if not self._attached:
            try:
                status = self._asked.get(STATUS, Status) if self._silent is None else None
            except NotFoundError:
                self._attached = True
            except QcfeedError as error:
                self._untold["status"] = self._silent = error.message
                return None, None
            else:
                return status, status
        return None, self.part("the process", PROCESS, Process)

    def all_untold(self) -> list[str]:
        return [*(f"{what}: {why}" for what, why in self._untold.items()), *self._notes]


def _sample(look: Look, seconds: float, wait: Callable[[float], None]) -> list[Point]:
    """Readings of memory until ``seconds`` have passed."""
    samples = []
    end = time.monotonic() + seconds
    pause = max(LEAST_PAUSE, seconds / READINGS)
    with _progress(seconds) as passed:
        while True:
            status, held = look.whole()
            now = time.monotonic()
            if held is not None:
                samples.append(reading(now, status, held))
            passed(seconds - max(0.0, end - now))
            if now >= end:
                return samples
            wait(min(pause, end - now))


def reading(now: float, status: Status | None, held: Status | Process) -> Point:
    """What was seen at ``now``, for metrics/growth.py."""
    orphans = held.totals.orphaned + (status.orphaned_subscriptions if status is not None else 0)
    return Point(
        now,
        memory=held.memory.resident_bytes,
        live=held.totals.live,
        subscriptions=None if status is None else status.subscriptions,
        orphans=orphans,
        spawned=held.totals.spawned,
    )


@contextmanager
def _progress(seconds: float) -> Iterator[Callable[[float], None]]:
    with render.progress("looking, seconds", round(seconds)) as done:
        yield lambda passed: done(int(passed))
