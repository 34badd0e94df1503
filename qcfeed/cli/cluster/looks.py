"""Two looks at all instances, some seconds apart: what only one of them shows was a moment's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from qcfeed.cli.cluster.members import Answers
from qcfeed.cli.context import say
from qcfeed.errors import UnreachableError
from qcfeed.model.cluster_answers import Unanswered

BETWEEN_LOOKS = 3.0
"""Seconds between two looks: longer than a gateway and a feeder need to agree."""

Look = TypeVar("Look")


def two(look: Callable[[], Look]) -> tuple[Look, Look]:
    """What ``look`` returns now, and BETWEEN_LOOKS seconds later."""
    first = look()
    time.sleep(BETWEEN_LOOKS)
    return first, look()


class Silence:
    """Who did not answer one of several requests, and why: an answer without them is not complete."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    def note(self, *answers: Answers[Any]) -> None:
        for each in answers:
            for one in each.unanswered:
                self.add(one.member, one.why)

    def add(self, member: str, why: str) -> None:
        self._why.setdefault(member, why)

    def __len__(self) -> int:
        return len(self._why)

    @property
    def rows(self) -> list[Unanswered]:
        return [Unanswered(member=member, why=why) for member, why in sorted(self._why.items())]

    def tell(self, *, anybody_answered: bool) -> bool:
        """Say who did not answer; True if somebody did not. Raises UnreachableError if nobody did."""
        if not anybody_answered:
            first = f": {self.rows[0].why}" if self._why else ""
            raise UnreachableError(f"no instance answered{first}")
        for each in self.rows:
            say(f"no answer: {each.member}: {each.why}")
        return bool(self._why)
