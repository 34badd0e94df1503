"""``qcfeed tasks verify``: the proof that a fix holds."""

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
from qcfeed.cli.tasks.windows import snapshot, taken
from qcfeed.cli.ui import durations, formats
from qcfeed.cli.ui.figures import Figure, show_figures
from qcfeed.control.client import ControlClient
from qcfeed.control.routes import TASKS_BY_LOCATION
from qcfeed.diagnostics import proof
from qcfeed.diagnostics.proof import Proof, ProofOutcome, Sample
from qcfeed.errors import ExitStatus, QcfeedError, UsageError
from qcfeed.model.answers import Answer, Location, TasksByLocation

EXAMPLES = examples(
    "qcfeed tasks verify --site feed.py:83 --for 10m",
    "qcfeed tasks verify --site feed.py:83 --for 30s --min-spawned 5 -o json",
    "qcfeed tasks verify --site feed.py:83 --from 1.json --from 2.json    # saved before",
)

LOOKS = 60
"""Censuses in the whole time, within the two limits below."""
FASTEST, SLOWEST = 0.1, 10.0
FEWEST = 2
"""Saved moments that can be compared at all."""
_COLOURS = {ProofOutcome.HOLDS: "green", ProofOutcome.LEAKS: "red", ProofOutcome.UNPROVEN: "yellow"}


class Verified(Answer, kw_only=True, tag="qcfeed.tasks.verify/2"):
    """``outcome``: holds, leaks or unproven; ``seconds`` and ``looks``: what it is judged by."""

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
        typer.Option(metavar="FILE:LINE", help="The spawn location; the end of its path will do."),
    ],
    seconds: Annotated[
        float,
        typer.Option("--for", parser=durations.parse, metavar="DURATION", help="How long to look."),
    ] = "10m",  # type: ignore[assignment] # the parser makes seconds of it
    min_spawned: Annotated[
        int, typer.Option(min=1, metavar="N", help="Fewer tasks born meanwhile prove nothing.")
    ] = 20,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", metavar="FILE", help="Ask what --save wrote, and no service; several times."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Prove that a fix holds: tasks are born at a location, their number does not grow, and none
    is orphaned.

    Exit status: 0 when it holds. 1 when it leaks, and also when that cannot be told, because too
    few tasks were born, the service was restarted or not all tasks can be seen: what is not proven
    has not passed.
    Ctrl-C tells what is known so far, and leaves with 130.
    """
    watching = _Watching(site)
    status = None
    try:
        if sources:
            _read(watching, sources)
        else:
            _watch(watching, client(ctx), seconds)
    except KeyboardInterrupt:
        status = ExitStatus.INTERRUPTED
    except QcfeedError:
        if watching.samples:
            _print(watching.verified(min_spawned), output)
        raise
    told = watching.verified(min_spawned)
    _print(told, output)
    if status is None:
        status = ExitStatus.OK if told.outcome == ProofOutcome.HOLDS else ExitStatus.FINDINGS
    if status:
        raise typer.Exit(status)


def _watch(watching: _Watching, asked: ControlClient, seconds: float) -> None:
    """Look until the time is over, or the process has been replaced by another."""
    every = min(max(seconds / LOOKS, FASTEST), SLOWEST)
    end = time.monotonic() + seconds
    try:
        while watching.look(snapshot(asked)) and (left := end - time.monotonic()) > 0:
            watching.tell(seconds)
            time.sleep(min(every, left))
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def _read(watching: _Watching, sources: Sequence[Path]) -> None:
    """Look at saved moments, in the order in which they were taken."""
    if len(sources) < FEWEST:
        raise UsageError(
            "one moment proves nothing: give --from FILE several times",
            hint="`qcfeed tasks --save FILE` writes one; six and more, evenly apart, can prove it",
        )
    files = [saved_files.read(path, TASKS_BY_LOCATION, TasksByLocation)[0] for path in sources]
    for answer in sorted(files, key=taken):
        if not watching.look(answer):
            break


class _Watching:
    """The samples of one location."""

    def __init__(self, site: str) -> None:
        self.samples: list[Sample] = []
        self._site = site
        self._first: TasksByLocation | None = None
        self._last: TasksByLocation | None = None
        self._restarted = False
        self._incomplete: list[str] = []
        """Why a look may not have seen all tasks, the last time that one may not have."""

    @property
    def seconds(self) -> float:
        """From the first look to the last."""
        if self._first is None or self._last is None:
            return 0.0
        return (taken(self._last) - taken(self._first)).total_seconds()

    def verified(self, min_spawned: int) -> Verified:
        judged = self._judge(min_spawned)
        fields = {name: getattr(judged, name) for name in Proof.__dataclass_fields__}
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
        judged = proof.judge(self.samples, min_spawned)
        if self._last is not None and not matching(self._last.locations, self._site):
            judged.reasons.insert(0, self._unknown(self._last.locations))
        if self._restarted and judged.outcome is not ProofOutcome.LEAKS:
            judged.outcome = ProofOutcome.UNPROVEN
            judged.reasons.insert(0, "the service was restarted meanwhile: begin again")
        if self._incomplete and judged.outcome is not ProofOutcome.LEAKS:
            judged.outcome = ProofOutcome.UNPROVEN
            judged.reasons[:0] = self._incomplete
        return judged

    def _unknown(self, rows: list[Location]) -> str:
        """That no task was ever born there, and which lines of that file it may have meant."""
        file = self._site.rpartition(":")[0].rpartition("/")[2]
        near = sorted(row.location for row in rows if f"/{row.location}".count(f"/{file}:"))
        meant = f"; in that file: {', '.join(near)}" if near else ""
        return f"no task was ever born there{meant}"

    def look(self, answer: TasksByLocation) -> bool:
        """Take one snapshot in. False when it is of another process than the one before."""
        last, self._last = self._last, answer
        self._first = self._first or answer
        if last is not None and (last.pid, last.since) != (answer.pid, answer.since):
            self._restarted = True
            return False
        self._incomplete = answer.totals.incomplete or self._incomplete
        rows = matching(answer.locations, self._site)
        self.samples.append(
            Sample(
                live=sum(row.live for row in rows),
                spawned=sum(row.spawned for row in rows),
                orphaned=sum(row.orphaned for row in rows),
            )
        )
        return True

    def tell(self, seconds: float) -> None:
        if not sys.stderr.isatty():
            return
        first, last = self.samples[0], self.samples[-1]
        sys.stderr.write(
            f"\r\x1b[K{formats.age(self.seconds)} of {formats.age(seconds)}:"
            f" {last.spawned - first.spawned:,} born, {last.live:,} live,"
            f" {last.orphaned:,} orphaned"
        )
        sys.stderr.flush()


def matching(rows: list[Location], site: str) -> list[Location]:
    """The rows of this location, by its whole path or the end of it; none when it has spawned none.

    Raises UsageError for what is no FILE:LINE, and for the end of several paths.
    """
    path, _, line = site.rpartition(":")
    if not path or not line.isdecimal():
        raise UsageError(
            f"{site!r} is not a spawn location",
            hint="it looks like feed.py:83; `qcfeed tasks --by-location` lists them",
        )
    found = [row for row in rows if row.location == site or row.location.endswith(f"/{site}")]
    if len(places := {row.location for row in found}) > 1:
        raise UsageError(
            f"{site} is the end of {len(places)} locations: {', '.join(sorted(places))}",
            hint="give more of the path",
        )
    return found


def _print(told: Verified, output: Format) -> None:
    reasons = "; ".join(told.reasons)
    figures = [
        Figure("site", told.site),
        Figure(
            "verdict",
            f"{told.outcome}: {reasons}" if reasons else told.outcome,
            _COLOURS[ProofOutcome(told.outcome)],
        ),
        Figure("looked", f"{formats.plural(told.looks, 'time')} in {formats.age(told.seconds)}"),
        Figure("born", formats.count(told.spawned)),
        Figure("live", f"{told.live_first:,} at first, {told.live_last:,} at last"),
        Figure("orphaned", formats.count(told.orphaned)),
    ]
    show_figures(output, figures, raw=msgspec.json.encode(told), names=[told.site])
    if told.orphaned:
        say("  next: `qcfeed orphans`, and once the fix runs, `qcfeed orphans --reap`")
    elif told.outcome == ProofOutcome.UNPROVEN:
        say("  next: look for longer (--for), or when there is more traffic")
