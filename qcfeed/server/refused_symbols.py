"""Collects the refused symbols of one request into one error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from qcfeed.model.messages import Error, RefusedSymbol

LISTED = 20
"""Refused symbols that an error lists."""
_NAME = 32
"""Characters of a name that an error repeats."""


class RefusedSymbols:
    """The refused symbols of a request. ``counts``: by code."""

    def __init__(self) -> None:
        self._first: Error | None = None
        self._listed: list[RefusedSymbol] = []
        self.counts: Counter[str] = Counter()

    def add(self, name: str, problem: Error) -> None:
        """``name`` was refused because of ``problem``."""
        self.add_all((name,), problem)

    def add_all(self, names: Iterable[str], problem: Error) -> None:
        """All these were refused because of ``problem``."""
        for name in names:
            if self._first is None:
                self._first = problem
            if len(self._listed) < LISTED:
                self._listed.append(RefusedSymbol(name[:_NAME], problem.code))
            self.counts[problem.code] += 1

    @property
    def error(self) -> Error | None:
        """The error for all of them, with the code of the first; None if there are none."""
        if self._first is None or len(self._listed) == 1:
            return self._first
        total = self.counts.total()
        retry = self._first.retryable
        more = f" (and {total - 1} more symbols were refused)"
        return msgspec.structs.replace(
            self._first,
            message=self._first.message + more,
            retryable=retry,
            refused=self._listed,
            refused_total=total,
        )
