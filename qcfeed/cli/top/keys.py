"""The keys of ``qcfeed top``, each declared once: what it does, as ?, the last line and --help tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qcfeed.cli.ui.table import drop_by_rank


class Key(NamedTuple):
    """``shown``: as a person would write it. ``does``: action by key, as Textual names both; empty
    for what the list itself takes. ``word``: in the last line; ``rank``: the highest go first there."""

    shown: str
    about: str
    does: dict[str, str]
    word: str = ""
    rank: int = 0


KEYS: tuple[Key, ...] = (
    Key(
        "1 to 5",
        "another list",
        {
            "1": "list('locations')",
            "2": "list('feeds')",
            "3": "list('subscribers')",
            "4": "list('orphans')",
            "5": "list('findings')",
        },
    ),
    Key(
        "Tab",
        "the next list, Shift-Tab the one before",
        {"tab": "step(1)", "shift+tab": "step(-1)"},
    ),
    Key("Up, Down", "move, as j, k, PgUp, PgDn, Home and End do", {}),
    Key("Enter", "open: tasks of a location, a task, a feed, ...", {}, "open", 1),
    Key("Esc", "back, and without the filter", {"escape": "undo"}),
    Key("/", "only rows that hold these words", {"slash": "filter"}, "filter", 3),
    Key("s", "sort by the next column", {"s": "sort"}, "sort", 4),
    Key("S", "sort the other way round", {"S": "reverse"}),
    Key("Space", "hold the screen still, and go on", {"space": "pause"}),
    Key("c", "cancel tasks or a feed, end a connection", {"c": "cancel"}, "cancel", 2),
    Key("r", "reap all orphans", {"r": "reap"}, "reap", 2),
    Key("b", "the runbook of the finding", {"b": "runbook"}, "runbook", 2),
    Key("?, h, F1", "these keys", {"question_mark": "help", "h": "help", "f1": "help"}, "help"),
    Key("q, Ctrl-C", "quit, Ctrl-C from what is open too", {"q": "quit", "ctrl+c": "quit"}, "quit"),
)
EVERYWHERE = frozenset({"tab", "shift+tab", "ctrl+c"})
"""Textual's names of keys that no field and no pane takes for itself."""

AFTERWARDS = (
    "c and r show what would be done, and ask. They do what",
    "`qcfeed tasks cancel`, `feeds cancel`, `subscribers kick` and",
    "`orphans --reap` do, and are in the audit log as those.",
)


def told() -> list[str]:
    """A line a key."""
    room = max(len(key.shown) for key in KEYS)
    return [f"{key.shown:<{room}}  {key.about}" for key in KEYS]


def sentence() -> str:
    """All of them, for ``qcfeed top --help``."""
    return "; ".join(f"{key.shown} ({key.about})" for key in KEYS)


def footer(width: int) -> str:
    """The keys that have a word, as many as fit."""
    worded = [key for key in KEYS if key.word]
    return _joined(
        drop_by_rank(worded, lambda key: key.rank, lambda kept: len(_joined(kept)) <= width)
    )


def _joined(keys: Sequence[Key]) -> str:
    return "  ".join(f"{key.shown.partition(',')[0]} {key.word}" for key in keys)
