"""Whether the tasks of a group end: survival, judged from which tasks are alive at each look. Pure.

Leaked tasks differ from sound ones in what happens at an unusual age: sound tasks end, leaked ones do
not. For a given age, this module counts the tasks that reached it, those that ended after it, and the
time that all of them have lived beyond it. If a task that has reached the age lives for as long again
on average, that time allows to estimate how many of them should have ended (the exponential model of
survival analysis: time at risk divided by the mean lifetime). A leak is suspected if many should have
ended and none, or hardly any, did, while further tasks keep reaching that age.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

AGES_S = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""Ages at which survival is judged, in seconds. The lowest age that shows a leak counts."""
WINDOWS_S = (20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0)
"""Seconds. Only tasks created in such a window are judged together, so that a pool of tasks that was
created earlier does not hide a leak."""
MAX_ENDED_SHARE = 0.02
"""Share of the tasks that reached the age which may have ended since: even of a leak, a few tasks may be
cleaned up."""
PARTS = 3
MIN_PART = 0.1
"""The time in which the old tasks were created is divided into PARTS. At least this share of them must
have been created in each part. A pool is created at once, and a start-up phase ends."""
MIN_YOUNG = 0.3
"""Tasks must still be created: there must be this share, or more, of the young tasks that are expected at
the rate at which the old ones were created."""
KNOWN_ENDS = 20
"""From this many ends before the age on, it is known how long a sound task of the group takes."""
MAX_TRACKED = 4_096
"""Tasks of a group that are followed. In a larger group only every second, fourth, ... is, by serial."""
MAX_ENDS = 2_000
"""Ends of followed tasks that are remembered for a group."""


class RequiredEvidence(NamedTuple):
    """What is required to suspect a leak.

    ``old``: tasks older than the age. ``expected``: how many ends sound tasks of that age would have
    shown. ``span_s``: seconds during which tasks have been created.
    """

    old: int
    expected: float
    span_s: float


NEEDED = RequiredEvidence(old=15, expected=15, span_s=16.0)
"""Used if it is known how long sound tasks of the group take."""
NEEDED_UNKNOWN = RequiredEvidence(old=40, expected=60, span_s=20.0)
"""Used if hardly any task of the group has ever ended. Any long work looks like this at first."""
FEW = RequiredEvidence(old=5, expected=5, span_s=16.0)
"""What is too little for a suspicion, and too much to say that all is well."""


class SurvivalBars(NamedTuple):
    """What is needed where it is known how long sound tasks of the group take, and where it is not.

    ``oldest``: the oldest task must be so many times as old as the age that is judged.
    """

    known: RequiredEvidence
    unknown: RequiredEvidence
    oldest: float


class ObservedEnd(NamedTuple):
    """A followed task that ended. Seconds.

    ``at``: when its end was noticed. ``seen_age``: its age when it was last seen alive. ``missed_age``:
    its age when it was first found to be gone.
    """

    at: float
    seen_age: float
    missed_age: float


@dataclass(frozen=True, slots=True)
class Survival:
    """Tasks of a group that do not end.

    ``old``: how many are older than ``age_s``; ``ended``: how many ended at such an age in the last
    ``window_s`` seconds; ``expected``: how many would have, if tasks that old lived for as long again.
    ``is_known``: whether others of the group end before that age, usually after ``usual_s``.
    ``per_minute``: how many more reach that age. ``oldest_s``: the age of the oldest of them.
    ``serials``: the old tasks that were followed, oldest first.
    """

    age_s: float
    window_s: float
    old: int
    ended: int
    expected: float
    is_known: bool
    usual_s: float | None
    per_minute: float
    oldest_s: float
    serials: list[int]


class Population:
    """The tasks of one group, as seen at one look after the other.

    Cost: 60 bytes for each of at most MAX_TRACKED tasks.
    """

    __slots__ = ("_alive", "_ends", "_looked_at", "_pace", "_usual", "mask")

    def __init__(self) -> None:
        self.mask = 0
        """A task is followed if none of these bits is set in its serial."""
        self._alive: dict[int, float] = {}
        self._ends: deque[ObservedEnd] = deque(maxlen=MAX_ENDS)
        self._usual: deque[float] = deque(maxlen=256)
        self._looked_at: float | None = None
        self._pace = 0.0

    @property
    def alive(self) -> Mapping[int, float]:
        """The followed tasks that are alive: when each was created, by serial."""
        return self._alive

    @property
    def is_remembered(self) -> bool:
        """Whether anything is known of the group that a later judgement needs."""
        return bool(self._alive or self._ends)

    def look(self, now: float, alive: dict[int, float]) -> None:
        """Note which tasks are alive at ``now``, and when each was created, by serial.

        ``alive``: those whose serial has none of the bits of ``mask``. Cost: 0.1 us per task.
        """
        last = self._looked_at
        if last is not None:
            for serial in self._alive.keys() - alive.keys():
                created_at = self._alive[serial]
                self._ends.append(ObservedEnd(now, max(0.0, last - created_at), now - created_at))
            self._pace = now - last
        self._looked_at = now
        self._alive = alive
        while self._ends and now - self._ends[0].at > WINDOWS_S[-1]:
            self._ends.popleft()
        while len(self._alive) > MAX_TRACKED:
            self._halve()

    def note_usual(self, lifetimes_s: Iterable[float]) -> None:
        """Add lifetimes of tasks that ended between two looks, as far as the ledger kept them."""
        self._usual.extend(lifetimes_s)

    def survival(self, now: float) -> Survival | None:
        """The tasks that do not end, if there are enough of them to suspect a leak.

        Cost: 1 us per followed task.
        """
        return next(self._found(now, SurvivalBars(NEEDED, NEEDED_UNKNOWN, oldest=2.0)), None)

    def early(self, now: float) -> Survival | None:
        """The tasks that do not end so far, if there are a FEW or more. Cost: as for ``survival``."""
        return next(self._found(now, SurvivalBars(FEW, FEW, oldest=1.5)), None)

    def _found(self, now: float, bars: SurvivalBars) -> Iterator[Survival]:
        ages = sorted(now - created_at for created_at in self._alive.values())
        for window in WINDOWS_S:
            young = [age for age in ages if age <= window]
            if not young:
                continue
            for age in AGES_S:
                # The age must be long compared with the time between two looks, which blurs the ends,
                # and leave enough time beyond it.
                if 2 * self._pace <= age <= young[-1] / bars.oldest:
                    seen = self._judge(now, age, window, young, bars)
                    if seen is not None:
                        yield seen
            if young[-1] == ages[-1]:
                return  # longer windows show the same tasks

    def _judge(
        self, now: float, age: float, window: float, young: list[float], bars: SurvivalBars
    ) -> Survival | None:
        old = [each for each in young if each >= age]
        span = young[-1]
        ends = [end for end in self._ends if now - end.at <= window]
        ended = sum(end.seen_age >= age or _middle(end) >= age for end in ends)
        earlier = [_middle(end) for end in ends if _middle(end) < age] + [
            each for each in self._usual if each < age
        ]
        is_known = len(earlier) >= KNOWN_ENDS
        needed = bars.known if is_known else bars.unknown
        expected = sum(each - age for each in old) / age
        if len(old) < needed.old or expected < needed.expected or span < needed.span_s:
            return None
        per_s = len(old) / (
            span - age
        )  # all old tasks were created in the first span - age seconds
        goes_on = len(young) - len(old) >= MIN_YOUNG * per_s * age and _is_spread(old, age, span)
        if ended > MAX_ENDED_SHARE * (len(old) + ended) or not goes_on:
            return None
        each = self.mask + 1  # tasks that one followed task stands for
        oldest = sorted(
            serial
            for serial, created_at in self._alive.items()
            if age <= now - created_at <= window
        )
        return Survival(
            age_s=age,
            window_s=min(window, span),
            old=len(old) * each,
            ended=ended * each,
            expected=expected * each,
            is_known=is_known,
            usual_s=statistics.median(earlier) if earlier else None,
            per_minute=per_s * each * 60,
            oldest_s=span,
            serials=oldest,
        )

    def _halve(self) -> None:
        """Follow half of the tasks from now on."""
        self.mask = self.mask << 1 | 1
        self._alive = {s: at for s, at in self._alive.items() if not s & self.mask}
        self._ends = deque(list(self._ends)[::2], maxlen=MAX_ENDS)


def _middle(end: ObservedEnd) -> float:
    return (end.seen_age + end.missed_age) / 2


def _is_spread(old: list[float], age: float, span: float) -> bool:
    """Whether the old tasks were created all the time, and not only in a part of it."""
    width = (span - age) / PARTS
    counts = [0] * PARTS
    for each in old:
        counts[min(PARTS - 1, int((each - age) / width))] += 1
    return min(counts) >= MIN_PART * len(old)
