"""What tasks died of: exceptions by location, type and line, each kind with a traceback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import CodeType, TracebackType

from qcfeed.diagnostics.site import Site

MAX_GROUPS = 256
"""Kinds of failure told apart; what is of any further kind is only counted."""
MAX_CALLS = 24
"""Calls kept of a traceback: the innermost."""
MAX_CAUSES = 4
MAX_TEXT = 300
"""Characters kept of an exception's message."""


@dataclass(slots=True)
class RaisedError:
    """An exception as it was raised: its type, message and innermost calls, the innermost last.

    A call is its code and line; ``calls.of_lines`` makes stacks of them.
    """

    error: str
    calls: tuple[tuple[CodeType, int], ...]
    dropped: int = 0
    """Outer calls that were not kept."""


@dataclass(slots=True)
class FailureGroup:
    """Failures of one location's tasks, of one type, raised at one line. ``serial``: of the last.

    ``raised``: the first of them, then what caused it, and so on.
    """

    site: Site
    count: int
    first: float
    last: float
    serial: int
    raised: list[RaisedError] = field(default_factory=list)


Key = tuple[int, type[BaseException], CodeType | None, int]


class Failures:
    """A ledger's failures, grouped; at most GROUPS kinds. From any thread.

    Cost: 2 us a failure; the first of its kind another 20. What was raised is described, not held.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """Failures of kinds beyond GROUPS."""
        self._groups: dict[Key, FailureGroup] = {}

    def note(self, site: Site, serial: int, error: BaseException) -> None:
        """A task of ``site`` ended with ``error``.

        No lock: it is called when a task is freed, which the garbage collector may do in the midst
        of this very function.
        """
        now = time.monotonic()
        key = (id(site), type(error), *_where(error.__traceback__))
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                self.dropped += 1
                return
            raised = [_raised(each) for each in _causes(error)]
            group = self._groups.setdefault(key, FailureGroup(site, 0, now, now, serial, raised))
        group.count += 1
        group.last, group.serial = now, serial

    def groups(self) -> list[FailureGroup]:
        """Copies, the latest first."""
        copies = [replace(group) for group in list(self._groups.values())]
        return sorted(copies, key=lambda group: -group.last)


def _where(traceback: TracebackType | None) -> tuple[CodeType | None, int]:
    """The innermost call."""
    if traceback is None:
        return None, 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code, traceback.tb_lineno


def _raised(error: BaseException) -> RaisedError:
    calls = [(tb.tb_frame.f_code, tb.tb_lineno) for tb in _links(error.__traceback__)]
    kept = tuple(calls[-MAX_CALLS:])
    return RaisedError(describe(error), kept, len(calls) - len(kept))


def _links(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _causes(error: BaseException) -> list[BaseException]:
    """It and what caused it, as Python would tell it; a few."""
    found = [error]
    while len(found) < MAX_CAUSES:
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
    return f"{type(error).__name__}: {text}"[:MAX_TEXT] if text else type(error).__name__
