"""Tasks that ended with an exception, grouped by spawn location, exception type and line.

Each group has one traceback.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import CodeType, TracebackType

from qcfeed.diagnostics.site import Site

MAX_GROUPS = 256
"""Groups that are kept; failures of any further kind are only counted."""
MAX_CALLS = 24
"""Calls that are kept of a traceback, the innermost."""
MAX_CAUSES = 4
"""Exceptions that are kept of a chain of causes."""
MAX_TEXT = 300
"""Characters that are kept of an exception's message."""


@dataclass(slots=True)
class RaisedError:
    """An exception: its type and message, and its innermost calls, innermost last.

    A call is kept as code and line; ``calls.of_lines`` turns them into a stack.
    """

    error: str
    calls: tuple[tuple[CodeType, int], ...]
    dropped_frames: int = 0
    """Outer calls that were not kept."""


@dataclass(slots=True)
class FailureGroup:
    """Failures of tasks from one spawn location, of one exception type, raised at one line.

    ``first`` and ``last``: when, by ``time.monotonic()``. ``serial``: the last task that failed.
    ``raised``: the first failure's exception, then its cause, and so on.
    """

    site: Site
    count: int
    first: float
    last: float
    serial: int
    raised: list[RaisedError] = field(default_factory=list)


Key = tuple[int, type[BaseException], CodeType | None, int]


class Failures:
    """The failures of a ledger's tasks, in at most MAX_GROUPS groups. From any thread.

    Cost: 2 us per failure, 20 us more for the first of a group. Exceptions are described, not held:
    holding one would keep its frames and their variables alive.
    """

    def __init__(self) -> None:
        self.dropped = 0
        """Failures that belong to no group because there are MAX_GROUPS already."""
        self._groups: dict[Key, FailureGroup] = {}

    def note(self, site: Site, serial: int, error: BaseException) -> None:
        """Count a task of ``site`` that ended with ``error``.

        It takes no lock. It is called when a task is freed, and the garbage collector may free one in
        the middle of this function.
        """
        now = time.monotonic()
        key = (id(site), type(error), *_where(error.__traceback__))
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                self.dropped += 1
                return
            raised = [_raised(each) for each in _causes(error)]
            # setdefault: another thread may have added the group meanwhile.
            group = self._groups.setdefault(key, FailureGroup(site, 0, now, now, serial, raised))
        group.count += 1
        group.last, group.serial = now, serial

    def groups(self) -> list[FailureGroup]:
        """Copies of the groups, the latest failure first."""
        copies = [replace(group) for group in list(self._groups.values())]
        return sorted(copies, key=lambda group: -group.last)


def _where(traceback: TracebackType | None) -> tuple[CodeType | None, int]:
    """Code and line of the innermost call."""
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
    """An exception and its causes, in the order of Python's traceback; at most MAX_CAUSES."""
    found = [error]
    while len(found) < MAX_CAUSES:
        last = found[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or cause in found:
            break
        found.append(cause)
    return found


def describe(error: BaseException | None) -> str:
    """``ValueError: its message``, cut to MAX_TEXT; the type alone if it has no message or
    ``str()`` fails."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001
        text = ""
    return f"{type(error).__name__}: {text}"[:MAX_TEXT] if text else type(error).__name__
