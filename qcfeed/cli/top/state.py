"""The state of the screen, and how keys change it. Pure: no terminal, no clock, no service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qcfeed.cli.top.observer import Away, ListTarget, ServiceSnapshot
from qcfeed.cli.top.views import Arrangement, View, arranged, next_order
from qcfeed.model.diagnosis import DiagnosisFinding

LISTS = ("locations", "feeds", "subscribers", "orphans", "findings")
"""The lists of the keys 1 to 5."""


@dataclass(slots=True)
class State:
    """The list on screen, its rows and their arrangement.

    ``views``: all lists by name (views.py). ``answered_at``: when the service last answered, by the
    caller's clock.
    """

    views: Mapping[str, View]
    view: str = "locations"
    site: str = ""
    snapshot: ServiceSnapshot | None = None
    away: Away | None = None
    answered_at: float = 0.0
    paused: bool = False
    _arrangements: dict[str, Arrangement] = field(default_factory=dict)

    @property
    def target(self) -> ListTarget:
        """What the next refresh has to request."""
        return ListTarget(self.view, self.site if self.view == "location" else "")

    @property
    def current(self) -> View:
        return self.views[self.view]

    @property
    def arrangement(self) -> Arrangement:
        view = self.current
        return self._arrangements.get(view.name, Arrangement(view.order, view.descending))

    def take(self, update: ServiceSnapshot | Away, now: float) -> None:
        """Take the result of a refresh. The last snapshot stays while the service is away."""
        if isinstance(update, Away):
            self.away = update
            return
        self.away, self.answered_at = None, now
        if not self.paused:
            self.snapshot = update

    def go(self, view: str, site: str = "") -> None:
        """Switch to another list; ``site``: the location whose tasks it lists."""
        self.view, self.site = view, site
        self.paused = False
        self._arrangements.pop("location", None)

    def step(self, by: int) -> None:
        """Switch to the next list (1) or the previous one (-1)."""
        index = LISTS.index(self.view) if self.view in LISTS else 0
        self.go(LISTS[(index + by) % len(LISTS)])

    def back(self) -> bool:
        """Remove the filter, leave the tasks of a location, or resume. False if there is nothing to undo."""
        if self.arrangement.words:
            self.filter("")
        elif self.view == "location":
            self.go("locations")
        elif self.paused:
            self.paused = False
        else:
            return False
        return True

    def sort(self) -> None:
        """Sort by the next column."""
        self._arrangements[self.view] = next_order(self.current, self.arrangement)

    def reverse(self) -> None:
        """Reverse the order."""
        descending = not self.arrangement.descending
        self._arrangements[self.view] = self.arrangement._replace(descending=descending)

    def filter(self, words: str) -> None:
        """Show only rows that contain all of these words."""
        self._arrangements[self.view] = self.arrangement._replace(words=words)

    def rows(self) -> list[Any]:
        """The rows of the list on screen, filtered and sorted; none before they have arrived."""
        return arranged(self.current, self._all(), self.arrangement)

    def _all(self) -> list[Any]:
        if self.snapshot is None:
            return []
        if self.view == "findings":
            health = self.snapshot.health
            return [*health.diagnosis.findings, *health.diagnosis.to_recheck] if health else []
        return self.snapshot.rows if self.snapshot.target == self.target else []

    @property
    def waiting(self) -> bool:
        """Whether the rows of the list on screen have not arrived yet."""
        if self.snapshot is None:
            return True
        if self.view == "findings":
            return self.snapshot.health is None
        return self.snapshot.target != self.target

    def rule(self, row: Any) -> str | None:
        """The rule of a finding; for any other row, that of the first finding, if there is one."""
        if isinstance(row, DiagnosisFinding):
            return row.rule
        health = self.snapshot.health if self.snapshot else None
        return next((found.rule for found in health.diagnosis.findings), None) if health else None

    def empty(self) -> str:
        """Why there are no rows."""
        if self.waiting:
            return "loading ..." if self.away is None else "not loaded: the service went away first"
        if self.arrangement.words:
            listed = len(self._all())
            some = f"none of the {listed:,} listed rows" if self._total() > listed else "no row"
            return f"{some} contains {self.arrangement.words!r}: Esc shows all"
        no_service = self.snapshot is not None and self.snapshot.status is None
        if self.current.service_only and no_service:
            return "an attached program has none"
        return self.current.empty

    def tabs(self, width: int) -> str:
        """The lists with their keys, the current one in brackets; if too wide, only its title is shown."""
        whole = self._tabs(lambda on, key, title: f"[{key} {title}]" if on else f" {key} {title} ")
        if len(whole) <= width:
            return whole
        return self._tabs(lambda on, key, title: f"[{key} {title}]" if on else str(key))

    def _tabs(self, shown: Callable[[bool, int, str], str]) -> str:
        on = "locations" if self.view == "location" else self.view
        return " ".join(
            shown(name == on, key, self.views[name].title) for key, name in enumerate(LISTS, 1)
        )

    def about(self) -> str:
        """A description of the list on screen: its order, its filter, and how many rows it shows."""
        arrangement, view = self.arrangement, self.current
        parts = [f"oldest tasks of {self.site}"] if self.view == "location" else []
        column = next((c for c in view.table.columns if c.key == arrangement.order), None)
        if column is not None:
            order = ", largest first" if arrangement.descending else ""
            parts.append(f"by {column.title}{order}")
        if arrangement.words:
            parts.append(f"filter {arrangement.words!r}")
        if not self.waiting:
            parts.append(self._counted())
        if self.paused:
            parts.append("PAUSED: Space resumes")
        return "; ".join(parts)

    def _counted(self) -> str:
        shown, listed, total = len(self.rows()), len(self._all()), self._total()
        if listed < total:
            part = f"{shown:,} of the {listed:,} listed" if shown < listed else f"{listed:,}"
            return f"{part} of {total:,}"
        return f"{shown:,} of {total:,}" if shown < total else f"{shown:,}"

    def _total(self) -> int:
        """The number of rows that exist, listed or not."""
        if self.snapshot is None or self.view == "findings":
            return len(self._all())
        return self.snapshot.total
