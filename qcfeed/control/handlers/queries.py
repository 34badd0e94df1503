"""Checks the parameters of requests about tasks, and converts them. Everything here raises UsageError."""

from __future__ import annotations

from qcfeed.diagnostics.ended_task import TaskOutcome
from qcfeed.diagnostics.filters import Filter
from qcfeed.errors import UsageError
from qcfeed.model.tasks import TaskFilter

PAGE = 10_000
"""The most rows in one answer: encoding more at once would hold the GIL and so stall the watched loop."""


def page(limit: int) -> int:
    """Check a limit of rows and return it."""
    within("limit", limit, 0, PAGE)
    return limit


def within(name: str, value: float, least: float, most: float | None = None) -> None:
    """Check that a number is in its range."""
    if value < least or (most is not None and value > most):
        allowed = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
        raise UsageError(f"{name} is {value:g}", hint=f"give {allowed}")


def task_filter(query: TaskFilter) -> Filter:
    """The filter of a query."""
    within("older_than_s", query.older_than_s, 0)
    labels: dict[str, str | None] = {}
    for line in query.label.splitlines():
        key, given, value = line.partition("=")
        if not key:
            raise UsageError(
                f"{line!r} is not a label", hint="give KEY=VALUE, or KEY for any value"
            )
        labels[key] = value if given else None
    return Filter(
        site=query.site,
        labels=labels,
        older_than=query.older_than_s,
        name=query.name,
        waiting_on=query.waiting_on,
    )


def outcome_of(word: str) -> TaskOutcome | None:
    """The outcome of that name; None for an empty name, which means all."""
    try:
        return TaskOutcome(word) if word else None
    except ValueError as error:
        raise UsageError(
            f"{word!r} is not an outcome of a task", hint=f"give {', '.join(TaskOutcome)}"
        ) from error


def serials_of(text: str) -> list[int]:
    """The serials in a text, separated by commas."""
    try:
        return [int(each) for each in text.split(",") if each]
    except ValueError as error:
        raise UsageError(
            f"{text!r} are not serial numbers", hint="`qcfeed tasks -o name` prints them"
        ) from error
