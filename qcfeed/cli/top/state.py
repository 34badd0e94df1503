"""What is on screen, and what a key makes of it. Pure: no terminal, no clock, no service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qcfeed.cli.top.observer import Away, Seen, Wanted
from qcfeed.cli.top.views import Chosen, View, arranged, next_order
from qcfeed.model.diagnosis import DiagnosisFinding

ROOM_FOR_LISTS = ("locations", "feeds", "subscribers", "orphans", "findings")
"""The lists of the keys 1 to 5."""


@dataclass(slots=True)
class State:
    """``views`` by name (views.py). ``heard``: when the service last answered, by the caller's clock."""

    views: Mapping[str, View]
    view: str = "locations"
    site: str = ""
    seen: Seen | None = None
    away: Away | None = None
    heard: float = 0.0
    paused: bool = False
    _chosen: dict[str, Chosen] = field(default_factory=dict)

    @property
    def wanted(self) -> Wanted:
        """What the next look has to bring."""
        return Wanted(self.view, self.site if self.view == "location" else "")

    @property
    def current(self) -> View:
        return self.views[self.view]

    @property
    def chosen(self) -> Chosen:
        view = self.current
        return self._chosen.get(view.name, Chosen(view.order, view.down))

    def take(self, told: Seen | Away, now: float) -> None:
        """The newest look. The last figures stay while the service is away."""
        if isinstance(told, Away):
            self.away = told
            return
        self.away, self.heard = None, now
        if not self.paused:
            self.seen = told

    def go(self, view: str, site: str = "") -> None:
        """Another list; ``site``: whose tasks."""
        self.view, self.site = view, site
        self.paused = False
        self._chosen.pop("location", None)

    def step(self, by: int) -> None:
        """The next list, or the one before."""
        place = ROOM_FOR_LISTS.index(self.view) if self.view in ROOM_FOR_LISTS else 0
        self.go(ROOM_FOR_LISTS[(place + by) % len(ROOM_FOR_LISTS)])

    def back(self) -> bool:
        """Undo the filter, or leave the tasks of a location. False when there is nothing to undo."""
        if self.chosen.words:
            self.filter("")
        elif self.view == "location":
            self.go("locations")
        elif self.paused:
            self.paused = False
        else:
            return False
        return True

    def sort(self) -> None:
        """By the next column."""
        self._chosen[self.view] = next_order(self.current, self.chosen)

    def reverse(self) -> None:
        self._chosen[self.view] = self.chosen._replace(down=not self.chosen.down)

    def filter(self, words: str) -> None:
        """Only rows that hold all of these words."""
        self._chosen[self.view] = self.chosen._replace(words=words)

    def rows(self) -> list[Any]:
        """Of the list on screen, sorted and filtered; none before its look has come."""
        return arranged(self.current, self._all(), self.chosen)

    def _all(self) -> list[Any]:
        if self.seen is None:
            return []
        if self.view == "findings":
            told = self.seen.judged
            return [*told.diagnosis.findings, *told.diagnosis.to_recheck] if told else []
        return self.seen.rows if self.seen.wanted == self.wanted else []

    @property
    def waiting(self) -> bool:
        """Whether the list on screen has not been looked at yet."""
        if self.seen is None:
            return True
        if self.view == "findings":
            return self.seen.judged is None
        return self.seen.wanted != self.wanted

    def rule(self, row: Any) -> str | None:
        """What a row was found by; of a row that is no finding, the worst that was found."""
        if isinstance(row, DiagnosisFinding):
            return row.rule
        told = self.seen.judged if self.seen else None
        return next((found.rule for found in told.diagnosis.findings), None) if told else None

    def empty(self) -> str:
        """Why there are no rows."""
        if self.waiting:
            return "looking ..." if self.away is None else "not looked at before the service went"
        if self.chosen.words:
            listed = len(self._all())
            of = f" of the {listed:,} listed" if self._in_all() > listed else ""
            return f"nothing{of} holds {self.chosen.words!r}: Esc shows all"
        if self.current.service and self.seen is not None and self.seen.status is None:
            return "a program that is attached has none"
        return self.current.empty

    def tabs(self, width: int) -> str:
        """The lists by their keys, the one on screen in brackets; where they do not fit, its title alone."""
        whole = self._tabs(lambda on, key, title: f"[{key} {title}]" if on else f" {key} {title} ")
        if len(whole) <= width:
            return whole
        return self._tabs(lambda on, key, title: f"[{key} {title}]" if on else str(key))

    def _tabs(self, shown: Callable[[bool, int, str], str]) -> str:
        on = "locations" if self.view == "location" else self.view
        return " ".join(
            shown(name == on, key, self.views[name].title)
            for key, name in enumerate(ROOM_FOR_LISTS, 1)
        )

    def about(self) -> str:
        """What the list on screen shows: of what, sorted how, filtered by what, how many."""
        chosen, view = self.chosen, self.current
        words = [f"tasks of {self.site}, the oldest"] if self.view == "location" else []
        column = next((c for c in view.table.columns if c.key == chosen.order), None)
        if column is not None:
            words.append(f"by {column.title}{', greatest first' if chosen.down else ''}")
        if chosen.words:
            words.append(f"only {chosen.words!r}")
        if not self.waiting:
            words.append(self._counted())
        if self.paused:
            words.append("PAUSED: space goes on")
        return "; ".join(words)

    def _counted(self) -> str:
        shown, listed, all_ = len(self.rows()), len(self._all()), self._in_all()
        if listed < all_:
            which = f"{shown:,} of the {listed:,} listed" if shown < listed else f"{listed:,}"
            return f"{which} of {all_:,}"
        return f"{shown:,} of {all_:,}" if shown < all_ else f"{shown:,}"

    def _in_all(self) -> int:
        """How many there are, listed or not."""
        if self.seen is None or self.view == "findings":
            return len(self._all())
        return self.seen.total
