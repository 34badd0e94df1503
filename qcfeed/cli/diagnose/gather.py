"""Collects the evidence for a diagnosis: two snapshots of a running service, some seconds apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qcfeed.cli.ui import render
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.diagnose.evidence import DiagnosisThresholds, Evidence
from qcfeed.metrics.growth import Point
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe.collector import Control, EvidenceCollector, conclude, sample

SAMPLES = 12
"""The number of memory samples between the two snapshots."""
MIN_INTERVAL = 0.2
"""The least number of seconds between two samples."""


def gather(
    control: Control,
    seconds: float,
    *,
    called: str = "qcfeed",
    thresholds: DiagnosisThresholds | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Evidence:
    """Collect evidence for ``seconds``.

    Parts that could not be collected are named in ``skipped``; raises only what the first request does.
    After a part that times out, no more are requested: it takes at most ``seconds`` plus twice the
    client's timeout.
    """
    collector = EvidenceCollector(control)
    before = control.get(TASKS_BY_LOCATION, TasksByLocation)
    samples = _sample(collector, seconds, wait)
    return conclude(collector, before, samples, called=called, thresholds=thresholds)


def _sample(
    collector: EvidenceCollector, seconds: float, wait: Callable[[float], None]
) -> list[Point]:
    """Samples of memory and tasks, taken until ``seconds`` have passed."""
    samples = []
    end = time.monotonic() + seconds
    interval = max(MIN_INTERVAL, seconds / SAMPLES)
    with _progress(seconds) as passed:
        while True:
            status, process = collector.status()
            now = time.monotonic()
            if process is not None:
                samples.append(sample(now, status, process))
            passed(seconds - max(0.0, end - now))
            if now >= end:
                return samples
            wait(min(interval, end - now))


@contextmanager
def _progress(seconds: float) -> Iterator[Callable[[float], None]]:
    with render.progress("collecting, seconds", round(seconds)) as done:
        yield lambda passed: done(int(passed))
