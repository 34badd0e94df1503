"""``qcfeed tasks verify``: proves that a leak at a spawn location is fixed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from qcfeed.cli import saved_files
from qcfeed.cli.context import Format, Output, client, examples, say
from qcfeed.cli.tasks.windows import snapshot
from qcfeed.cli.ui import durations, formats
from qcfeed.cli.ui.figures import LabelledValue, show_figures
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.diagnostics import proof
from qcfeed.diagnostics.locations import named_places
from qcfeed.diagnostics.proof import LocationSample, Proof, ProofOutcome
from qcfeed.errors import ExitStatus, QcfeedError, UsageError
from qcfeed.model.answer import Answer
from qcfeed.model.tasks import Location, TasksByLocation
from qcfeed.observe.comparison import taken
from qcfeed.streams import write_message

EXAMPLES = examples(
    "qcfeed tasks verify --site feed.py:83 --for 10m",
    "qcfeed tasks verify --site feed.py:83 --for 30s --min-spawned 5 -o json",
    "qcfeed tasks verify --site feed.py:83 --from 1.json --from 2.json    # saved snapshots",
)

SNAPSHOTS = 60
"""The number of snapshots to take in the whole time, if the interval stays within its limits."""
MIN_INTERVAL, MAX_INTERVAL = 0.1, 10.0
MIN_FILES = 2
"""The least number of saved snapshots that can be compared."""
_COLOURS = {ProofOutcome.HOLDS: "green", ProofOutcome.LEAKS: "red", ProofOutcome.UNPROVEN: "yellow"}


class Verified(Answer, kw_only=True, tag="qcfeed.tasks.verify/2"):
    """The proof for one location. ``outcome``: holds, leaks or unproven; ``looks``: the number of
    snapshots taken, over ``seconds``."""

    site: str
    seconds: float
    looks: int
    min_spawned: int
    outcome: str
    reasons: list[str]
    spawned: int
    live_first: int
    live_last: int
    growth: int
    orphaned: int


def verify(
    ctx: typer.Context,
    site: Annotated[
        str,
        typer.Option(metavar="FILE:LINE", help="Spawn location; the end of its path is enough."),
    ],
    seconds: Annotated[
        float,
        durations.option("--for", text="How long to watch."),
    ] = "10m",  # type: ignore[assignment] # the parser converts it to seconds
    min_spawned: Annotated[
        int, typer.Option(min=1, metavar="N", help="Least number of tasks created meanwhile.")
    ] = 20,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Read a saved snapshot instead of a live service; give it several times.",
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Prove that a leak is fixed: tasks are created at a location, but do not accumulate.

    Takes snapshots for the given time. The fix holds if at least --min-spawned tasks are created,
    the number of live tasks does not grow, and no task is orphaned. Ctrl-C prints the result so
    far.

    Exit status: 0 if it holds; 1 if it leaks, or if that is unproven because too few tasks were
    created, the service was restarted or the ledger is incomplete; 130 after Ctrl-C.
    """
    observation = _Observation(site)
    status = None
    try:
        if sources:
            _read(observation, sources)
        else:
            _watch(observation, client(ctx), seconds)
    except KeyboardInterrupt:
        status = ExitStatus.INTERRUPTED
    except QcfeedError:
        if observation.samples:
            _print(observation.verified(min_spawned), output)
        raise
    verified = observation.verified(min_spawned)
    _print(verified, output)
    if status is None:
        status = ExitStatus.OK if verified.outcome == ProofOutcome.HOLDS else ExitStatus.FINDINGS
    if status:
        raise typer.Exit(status)


def _watch(observation: _Observation, control: ControlClient, seconds: float) -> None:
    """Take snapshots until the time is over or the service is restarted."""
    interval = min(max(seconds / SNAPSHOTS, MIN_INTERVAL), MAX_INTERVAL)
    end = time.monotonic() + seconds
    try:
        while observation.add(snapshot(control)) and (left := end - time.monotonic()) > 0:
            observation.show_progress(seconds)
            time.sleep(min(interval, left))
    finally:
        if sys.stderr.isatty():
            write_message("\r\x1b[K")


def _read(observation: _Observation, sources: Sequence[Path]) -> None:
    """Read saved snapshots, in the order in which they were taken."""
    if len(sources) < MIN_FILES:
        raise UsageError(
            "one snapshot proves nothing: give --from FILE several times",
            hint="`qcfeed tasks --save FILE` writes one; six or more at even intervals are enough",
        )
    files = [saved_files.read(path, TASKS_BY_LOCATION, TasksByLocation)[0] for path in sources]
    for answer in sorted(files, key=taken):
        if not observation.add(answer):
            break


class _Observation:
    """The samples of one location, taken from successive snapshots."""

    def __init__(self, site: str) -> None:
        self.samples: list[LocationSample] = []
        self._site = site
        self._first: TasksByLocation | None = None
        self._last: TasksByLocation | None = None
        self._restarted = False
        self._incomplete: list[str] = []
        """Why the latest incomplete snapshot may lack tasks; empty if all are complete."""

    @property
    def seconds(self) -> float:
        """The time from the first snapshot to the last."""
        if self._first is None or self._last is None:
            return 0.0
        return (taken(self._last) - taken(self._first)).total_seconds()

    def verified(self, min_spawned: int) -> Verified:
        """The result so far."""
        result = self._judge(min_spawned)
        fields = {name: getattr(result, name) for name in Proof.__dataclass_fields__}
        last = self._last
        return Verified(
            pid=last.pid if last else 0,
            instance=last.instance if last else "",
            taken_at=last.taken_at if last else "",
            site=self._site,
            seconds=self.seconds,
            looks=len(self.samples),
            min_spawned=min_spawned,
            **fields,
        )

    def _judge(self, min_spawned: int) -> Proof:
        result = proof.judge(self.samples, min_spawned)
        if self._last is not None and not matching(self._last.locations, self._site):
            result.reasons.insert(0, self._unknown(self._last.locations))
        if self._restarted and result.outcome is not ProofOutcome.LEAKS:
            result.outcome = ProofOutcome.UNPROVEN
            result.reasons.insert(0, "the service was restarted meanwhile: start again")
        if self._incomplete and result.outcome is not ProofOutcome.LEAKS:
            result.outcome = ProofOutcome.UNPROVEN
            result.reasons[:0] = self._incomplete
        return result

    def _unknown(self, rows: list[Location]) -> str:
        """The reason when no task was ever created there, with other locations in that file."""
        file = self._site.rpartition(":")[0].rpartition("/")[2]
        near = sorted(row.location for row in rows if f"/{row.location}".count(f"/{file}:"))
        suggestion = f"; locations in that file: {', '.join(near)}" if near else ""
        return f"no task was ever created there{suggestion}"

    def add(self, answer: TasksByLocation) -> bool:
        """Add a snapshot. False if it is of another process than the one before."""
        last, self._last = self._last, answer
        self._first = self._first or answer
        # A pid alone does not identify a process: in a container it is always 1.
        if last is not None and (last.pid, last.since) != (answer.pid, answer.since):
            self._restarted = True
            return False
        self._incomplete = answer.totals.incomplete or self._incomplete
        rows = matching(answer.locations, self._site)
        self.samples.append(
            LocationSample(
                live=sum(row.live for row in rows),
                spawned=sum(row.spawned for row in rows),
                orphaned=sum(row.orphaned for row in rows),
            )
        )
        return True

    def show_progress(self, seconds: float) -> None:
        """Rewrite the progress line on stderr, if that is a terminal."""
        if not sys.stderr.isatty():
            return
        first, last = self.samples[0], self.samples[-1]
        write_message(
            f"\r\x1b[K{formats.age(self.seconds)} of {formats.age(seconds)}:"
            f" {last.spawned - first.spawned:,} created, {last.live:,} live,"
            f" {last.orphaned:,} orphaned"
        )


def matching(rows: list[Location], site: str) -> list[Location]:
    """The rows of the location ``site``, given by its whole path or the end of it.

    Raises UsageError if ``site`` is not FILE:LINE, or is the end of several paths.
    """
    path, _, line = site.rpartition(":")
    if not path or not line.isdecimal():
        raise UsageError(
            f"{site!r} is not a spawn location",
            hint="give FILE:LINE, for example feed.py:83; `qcfeed tasks --by-location` lists them",
        )
    named = [(row, named_places(row.location, site)) for row in rows]
    if len(places := {place for _, found in named for place in found}) > 1:
        raise UsageError(
            f"{site} is ambiguous: it is the end of {', '.join(sorted(places))}",
            hint="give more of the path",
        )
    return [row for row, found in named if found]


def _print(result: Verified, output: Format) -> None:
    reasons = "; ".join(result.reasons)
    snapshots = formats.plural(result.looks, "snapshot")
    figures = [
        LabelledValue("site", result.site),
        LabelledValue(
            "verdict",
            f"{result.outcome}: {reasons}" if reasons else result.outcome,
            _COLOURS[ProofOutcome(result.outcome)],
        ),
        LabelledValue("basis", f"{snapshots} in {formats.age(result.seconds)}"),
        LabelledValue("created", formats.count(result.spawned)),
        LabelledValue("live", f"{result.live_first:,} at first, {result.live_last:,} at the end"),
        LabelledValue("orphaned", formats.count(result.orphaned)),
    ]
    show_figures(output, figures, raw=msgspec.json.encode(result), names=[result.site])
    if result.orphaned:
        say("  next: `qcfeed orphans`; once the fix runs, `qcfeed orphans --reap`")
    elif result.outcome == ProofOutcome.UNPROVEN:
        say("  next: watch for longer (--for), or while there is more traffic")
