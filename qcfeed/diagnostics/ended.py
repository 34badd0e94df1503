"""The gone: of each location the last tasks that ended, and failures with their tracebacks, grouped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, NamedTuple

from qcfeed.diagnostics.site import AnyTask, Site, place

if TYPE_CHECKING:
    from qcfeed.diagnostics.booked import Booked, Cancels
    from qcfeed.diagnostics.origin import Labels

GROUPS = 256
"""Kinds of failure told apart; what is of any further kind is only counted."""
CALLS = 24
"""Calls kept of a traceback: the innermost."""
CAUSES = 4
TEXT = 300
"""Characters kept of an exception's message."""


class Outcome(StrEnum):
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DESTROYED = "destroyed"


class Ended(NamedTuple):
    """One task that is gone. Times are ``time.monotonic()``.

    ``ended``: when its end was booked, which is when it was let go of or next looked at.
    ``cancels``: who told it to end, if anybody did; None too for tasks of another factory's.
    """

    serial: int
    name: str
    born: float
    ended: float
    outcome: Outcome
    labels: Labels
    cancels: Cancels | None

    @classmethod
    def of(cls, known: Booked, task: AnyTask, outcome: Outcome, now: float) -> Ended:
        try:
            name = str(task.get_name())
        except Exception:  # noqa: BLE001 - a task is whatever somebody made it
            name = "?"
        cancels = getattr(known, "cancels", None)
        return cls(known.serial, name, known.born, now, outcome, known.origin.labels, cancels)


@dataclass(slots=True)
class Raised:
    """An exception as it was raised: its type, message and innermost calls, the innermost last.

    A call is its code and line; ``calls.of_lines`` makes stacks of them.
    """

    error: str
    calls: tuple[tuple[CodeType, int], ...]
    dropped: int = 0
    """Outer calls that were not kept."""


@dataclass(slots=True)
class Failure:
    """Failures of one location's tasks, of one type, raised at one line. ``serial``: of the last.

    ``raised``: the first of them, then what caused it, and so on.
    """

    site: Site
    count: int
    first: float
    last: float
    serial: int
    raised: list[Raised] = field(default_factory=list)


Key = tuple[int, type[BaseException], CodeType | None, int]


class Failures:
    """A ledger's failures, grouped; at most GROUPS kinds. From any thread.

    Cost: 2 us a failure; the first of its kind another 20. What was raised is described, not held.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """Failures of kinds beyond GROUPS."""
        self._groups: dict[Key, Failure] = {}
        self._lock = threading.Lock()

    def note(self, site: Site, serial: int, error: BaseException) -> None:
        """A task of ``site`` ended with ``error``."""
        now = time.monotonic()
        key = (id(site), type(error), *_where(error.__traceback__))
        with self._lock:
            group = self._groups.get(key)
            if group is not None:
                group.count, group.last, group.serial = group.count + 1, now, serial
            elif len(self._groups) < GROUPS:
                chain = [_raised(each) for each in _causes(error)]
                self._groups[key] = Failure(site, 1, now, now, serial, chain)
            else:
                self.dropped += 1

    def groups(self) -> list[Failure]:
        """Copies, the latest first."""
        with self._lock:
            copies = [replace(group) for group in self._groups.values()]
        return sorted(copies, key=lambda group: -group.last)


def of_site(site: Site) -> list[Ended]:
    """What a location remembers, the newest first. It remembers anew from now on."""
    site.refill()
    return list(reversed(site.gone.copy()))


def cancelled_at(cancels: Cancels) -> str:
    """``file:line (function)`` of who told a task to end."""
    return f"{place(cancels.code, cancels.lasti)} ({cancels.code.co_qualname})"


def _where(traceback: TracebackType | None) -> tuple[CodeType | None, int]:
    """The innermost call."""
    if traceback is None:
        return None, 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code, traceback.tb_lineno


def _raised(error: BaseException) -> Raised:
    calls = [(tb.tb_frame.f_code, tb.tb_lineno) for tb in _links(error.__traceback__)]
    kept = tuple(calls[-CALLS:])
    return Raised(describe(error), kept, len(calls) - len(kept))


def _links(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _causes(error: BaseException) -> list[BaseException]:
    """It and what caused it, as Python would tell it; a few."""
    found = [error]
    while len(found) < CAUSES:
        last = found[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or cause in found:
            break
        found.append(cause)
    return found


def describe(error: BaseException | None) -> str:
    """``ValueError: what it says``, cut; the type alone where it will not say."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001
        text = ""
    return f"{type(error).__name__}: {text}"[:TEXT] if text else type(error).__name__
