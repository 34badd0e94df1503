"""The groups whose survival is judged: the tasks of one spawn location that run one coroutine function."""

from __future__ import annotations

from types import CoroutineType
from typing import Any

from qcfeed.diagnostics.site import AnyTask, Site, short_path
from qcfeed.diagnostics.survival import Population

MAX_FUNCTIONS = 10_000
"""Code objects that are remembered, with the function that each belongs to."""


class WatchedGroup:
    """The tasks of one location that run one coroutine function."""

    __slots__ = ("_ended_at", "code", "count", "found", "parents", "population", "site")

    def __init__(self, site: Site, code: Any) -> None:
        self.site = site
        self.code = code
        self.population = Population()
        self.count = 0
        """Live tasks at the last look."""
        self.found: dict[int, float] = {}
        self.parents: dict[int, int] = {}
        """The parents of the followed tasks, by serial."""
        self._ended_at = 0.0

    @property
    def defined_at(self) -> str:
        """``file:line`` of the coroutine function; empty if it has no code."""
        line = getattr(self.code, "co_firstlineno", None)
        return "" if line is None else f"{short_path(self.code.co_filename)}:{line}"

    @property
    def coroutine(self) -> str:
        """The qualified name of the coroutine function."""
        return str(getattr(self.code, "co_qualname", getattr(self.code, "__qualname__", "?")))

    def begin(self) -> None:
        self.count, self.found, self.parents = 0, {}, {}

    def end(self, now: float) -> None:
        """Take in what a look has found."""
        self.population.note_usual(self._lifetimes())
        self.population.look(now, self.found)
        self.found = {}

    def _lifetimes(self) -> list[float]:
        """How long the tasks took that ended since the last look, of those that the ledger kept."""
        since, name = self._ended_at, self.coroutine
        ended = [each for each in self.site.recent_ended.copy() if each.ended_at > since]
        if ended:
            self._ended_at = max(each.ended_at for each in ended)
        return [each.ended_at - each.created_at for each in ended if each.coroutine == name]


class Functions:
    """Finds the coroutine function of a task. Cost: 0.2 us per task once its code is known."""

    def __init__(self) -> None:
        # By id(): it holds the code, so that no other code object gets the same one.
        self._known: dict[int, tuple[Any, Any]] = {}

    def of(self, task: AnyTask | None) -> tuple[Any, Any]:
        """The code of a task's coroutine, and the function that it is code of.

        All code objects that were compiled from one place are the same function: a program may compile
        a text again and again. Of a coroutine without code both are its class.
        """
        try:
            coroutine = None if task is None else task.get_coro()
        except Exception:  # noqa: BLE001 - a task class of the program may raise anything
            coroutine = None
        is_plain = type(coroutine) is CoroutineType
        code = coroutine.cr_code if is_plain else _code(coroutine)  # type: ignore[union-attr]
        known = self._known.get(id(code))
        if known is None:
            if len(self._known) >= MAX_FUNCTIONS:
                self._known.clear()
            known = self._known[id(code)] = (code, _place(code))
        return known


def _place(code: Any) -> Any:
    """Where the text of the code is, and its name; the class itself if it is none."""
    name = getattr(code, "co_qualname", None)
    return code if name is None else (code.co_filename, name, code.co_firstlineno)


def _code(coroutine: Any) -> Any:
    """The code of a coroutine that is not a plain one; its class if it has no code."""
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    return type(coroutine) if code is None else code
