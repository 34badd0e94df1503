"""Rules about numbers of tasks that keep growing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qcfeed.diagnostics.findings import Certainty, Doubt, Finding
from qcfeed.diagnostics.history import LocationSeries
from qcfeed.diagnostics.observations import Observations, UntrackedTasks
from qcfeed.diagnostics.trend import Trend, trend

SPANS = (360, 60, 18)
"""Numbers of snapshots that are examined for growth, longest first: an hour, ten and three minutes."""
PROVED_SPAN = 60
"""Snapshots over which growth is certain. Growth over fewer is suspected, and checked again."""
PARTS = 6
"""Parts into which a span is divided. The lowest count must rise from each part to the next."""
EARLY_SPANS, EARLY_PARTS = (12, 6), 3
"""Snapshots of two minutes and of one, and the parts into which they are divided: growth for so long is no
suspicion, and yet it is growth."""
LASTING = 1.5
"""The number of tasks with a known lifetime that are created at a steady rate may rise for so many lifetimes."""
MIN_UNTRACKED = 20
"""Untracked tasks; fewer are not reported."""
RECHECK_S = 600.0
"""Seconds after which growth of untracked tasks can be seen."""
MIN_GROWTH = 20
"""Tasks; growth by fewer is not worth waking a person."""
MAX_NAMED = 3
"""Coroutines of untracked tasks that are named, the most frequent."""


def growing(seen: Observations) -> Iterator[Finding]:
    """Locations whose live tasks keep growing in number, where nothing explains it.

    Suspected only: rising demand looks the same.
    """
    for series in seen.series:
        for span in SPANS:
            if len(series.live) < span or _is_explained(seen, series, span):
                continue
            if finding := _climb(series, seen.times, span):
                yield finding
                break


def undecided(seen: Observations) -> Iterator[Doubt]:
    """Locations whose tasks have become more in the last minute or two, without an explanation."""
    for series in seen.series:
        for span in EARLY_SPANS:
            live = series.live[-span:]
            if len(live) < span or _is_explained(seen, series, span):
                continue
            if _trend(live, EARLY_PARTS) is not None:
                took = seen.times[-1] - seen.times[-span]
                yield Doubt(series.location, f"live tasks have grown: {_pace(live, took)}")
                break


def _is_explained(seen: Observations, series: LocationSeries, span: int) -> bool:
    """Whether what keeps the tasks alive explains that they become more for so long."""
    why = seen.explained.get(series.location)
    if why is None or why.lifetime_s is None:
        return why is not None
    return seen.times[-1] - seen.times[-span] <= LASTING * why.lifetime_s


def untracked(seen: Observations) -> Iterator[Finding]:
    """Untracked tasks, which have no spawn location.

    They are a leak if their number keeps growing, and are also reported if they are the majority. Neither
    applies if each of them serves a connection."""
    counts = seen.untracked.counts
    if seen.untracked.are_explained:
        return
    for span in SPANS:
        if len(counts) >= span and _trend(counts[-span:]):
            yield _growing_untracked(seen.untracked, seen.times, span)
            return
    number = counts[-1] if counts and not seen.incomplete else 0
    if number >= MIN_UNTRACKED and number > seen.untracked.tracked:
        yield Finding(
            "untracked_tasks",
            Certainty.SUSPECTED,
            f"cannot see what created {number:,} of {number + seen.untracked.tracked:,} tasks: they did not"
            " pass the task factory",
            evidence=_untracked_evidence(seen.untracked),
            recheck_s=RECHECK_S,
            count=number,
        )


def _climb(series: LocationSeries, times: Sequence[float], span: int) -> Finding | None:
    live = series.live[-span:]
    seen = _trend(live)
    if seen is None:
        return None
    took = times[-1] - times[-span]
    created = series.spawned[-1] - series.spawned[-span]
    ended = max(0, live[0] + created - live[-1])
    return _growth(
        "growing",
        f"live tasks keep growing: {_pace(live, took)}",
        [
            f"{created:,} created and {ended:,} ended in that time",
            f"lowest number in each sixth of it: {', '.join(f'{low:,}' for low in seen.lows)}",
        ],
        live,
        took,
        location=series.location,
        certainty=Certainty.SUSPECTED,
    )


def _growing_untracked(untracked: UntrackedTasks, times: Sequence[float], span: int) -> Finding:
    counts, took = untracked.counts[-span:], times[-1] - times[-span]
    summary = f"untracked tasks keep growing: {_pace(counts, took)}"
    return _growth("untracked_tasks", summary, _untracked_evidence(untracked), counts, took)


def _growth(
    rule: str,
    summary: str,
    evidence: list[str],
    counts: Sequence[int],
    took: float,
    location: str = "",
    certainty: Certainty = Certainty.PROVED,
) -> Finding:
    """``certainty``: of growth over PROVED_SPAN snapshots."""
    proven = len(counts) >= PROVED_SPAN
    return Finding(
        rule,
        certainty if proven else Certainty.SUSPECTED,
        summary,
        location,
        evidence,
        recheck_s=None if proven else took * (PROVED_SPAN / len(counts) - 1),
        count=counts[-1],
        per_minute=(counts[-1] - counts[0]) * 60 / took if took > 0 else None,
        since_s=took,
    )


def _trend(counts: Sequence[int], parts: int = PARTS) -> Trend | None:
    """The trend of the counts if they climb steadily, until now, and by more than chance."""
    seen = trend(counts, parts)
    lately = trend(counts[-(len(counts) // parts) :], 2)
    if not (seen and seen.climbs and lately and lately.climbs):
        return None  # no growth, or only while the program started
    # The number N of tasks that come and go independently fluctuates by about the square root of N.
    if seen.growth < max(MIN_GROWTH, 2 * seen.widest, 6 * seen.lows[0] ** 0.5):
        return None
    return seen


def _pace(counts: Sequence[int], took: float) -> str:
    rate = f"{(counts[-1] - counts[0]) * 60 / took:+,.0f} per minute" if took > 0 else "at once"
    return f"{counts[0]:,} to {counts[-1]:,} in {_span(took)}, {rate}"


def _untracked_evidence(untracked: UntrackedTasks) -> list[str]:
    looked_at = sum(number for _, number in untracked.coroutines)
    named = ", ".join(f"{name} ({number})" for name, number in untracked.coroutines[:MAX_NAMED])
    return [
        *([f"most frequent coroutines of {looked_at:,} sampled tasks: {named}"] if named else []),
        "libraries that call asyncio.Task(...) directly, as for eager_start=True, bypass the factory",
    ]


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
