"""The tasks that the handlers answer about: those of the running program, or those of a saved file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from qcfeed.diagnostics.ended_task import TaskOutcome
from qcfeed.diagnostics.filters import Filter, LabelRow
from qcfeed.diagnostics.profile import Profile
from qcfeed.model.ended_tasks import TaskFailures, TasksEnded
from qcfeed.model.task_details import TaskDetails, TreeTask
from qcfeed.model.task_objects import TasksByObject
from qcfeed.model.tasks import ByLocationQuery, Location, Task, TasksByLocation


class Candidate(NamedTuple):
    """A task that may be cancelled. ``main``: the loop runs until it ends."""

    handle: Any
    serial: int
    location: str
    main: bool


class TaskSource(Protocol):
    """The tasks of a program: LiveTasks or SavedTasks.

    A *handle* stands for one task between two calls; it has the attributes ``serial`` and ``parent``. The costs
    that the handlers name are those of LiveTasks.
    """

    def by_location(self) -> TasksByLocation:
        """All spawn locations with their counters, without waits and source lines."""

    def describe(self, rows: list[Location], query: ByLocationQuery) -> None:
        """Add the waits and source lines that are asked for. Raises UsageError for waits it cannot give exactly."""

    def count(self, which: Filter) -> Mapping[tuple[str, str], int]:
        """How many tasks match, by spawn location and function."""

    def by_label(self, key: str, which: Filter) -> list[LabelRow]:
        """The tasks that match, one row per value of a label, most tasks first."""

    def by_object(self, which: Filter, limit: int, *, exact: bool) -> TasksByObject:
        """The tasks that match, by the object that they wait for. Raises UsageError for what it cannot give."""

    def oldest(self, which: Filter, limit: int, offset: int = 0) -> tuple[int, list[Any]]:
        """How many tasks match, and the handles of the oldest: ``limit`` after skipping ``offset``."""

    def find(self, serials: Collection[int]) -> Mapping[int, Any]:
        """The handles of the tasks with these serials."""

    def rows(self, handles: list[Any]) -> list[Task]:
        """These tasks as lists show them."""

    def branches(self, handles: list[Any]) -> list[TreeTask]:
        """These tasks as the tree shows them."""

    def details(self, serial: int) -> TaskDetails:
        """One task in full. Raises NotFoundError."""

    def candidates(self, serials: Collection[int], which: Filter) -> Iterator[Candidate]:
        """The tasks with these serials; without serials, the tasks that match."""

    def profile(self, which: Filter, *, exact: bool) -> Profile:
        """The stacks of the tasks that match. Raises UsageError if it cannot give them exactly."""

    def ended(self, which: Filter, outcome: TaskOutcome | None, limit: int) -> TasksEnded:
        """The tasks of matching locations that ended last; None: with any outcome."""

    def failures(self, which: Filter, limit: int) -> TaskFailures:
        """The failures of tasks of matching locations."""
