"""The keys of ``qcfeed top``, declared once for the bindings, the help pane, the footer and --help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qcfeed.cli.ui.table import drop_by_rank


class Key(NamedTuple):
    """A key, or a group of keys. ``shown``: the name for people. ``does``: the action of each key, by
    Textual's names; empty if the list widget handles the key. ``word``: what the footer says, empty
    for nothing; ``rank``: on a narrow screen the highest are left out of the footer first. ``acts``: it
    needs a running service."""

    shown: str
    about: str
    does: dict[str, str]
    word: str = ""
    rank: int = 0
    acts: bool = False


KEYS: tuple[Key, ...] = (
    Key(
        "1 to 5",
        "show another list",
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
        "next list; Shift-Tab: previous list",
        {"tab": "step(1)", "shift+tab": "step(-1)"},
    ),
    Key("Up, Down", "move; also j, k, PgUp, PgDn, Home, End", {}),
    Key("Enter", "open the tasks of a location, a task, a feed, ...", {}, "open", 1),
    Key("Esc", "remove the filter, go back", {"escape": "undo"}),
    Key("/", "show only rows that contain these words", {"slash": "filter"}, "filter", 3),
    Key("s", "sort by the next column", {"s": "sort"}, "sort", 4),
    Key("S", "reverse the order", {"S": "reverse"}),
    Key("Space", "pause, resume", {"space": "pause"}),
    Key("c", "cancel tasks or a feed, end a connection", {"c": "cancel"}, "cancel", 2, True),
    Key("r", "reap all orphans", {"r": "reap"}, "reap", 2, True),
    Key("b", "show the runbook for the finding", {"b": "runbook"}, "runbook", 2),
    Key("?, h, F1", "show the keys", {"question_mark": "help", "h": "help", "f1": "help"}, "help"),
    Key("q, Ctrl-C", "quit; Ctrl-C works everywhere", {"q": "quit", "ctrl+c": "quit"}, "quit"),
)
EVERYWHERE = frozenset({"tab", "shift+tab", "ctrl+c"})
"""The keys, by Textual's names, that work also in the filter field and in panes."""

FROZEN = "a saved file cannot be acted on: that needs a running service"

ACTIONS_NOTE = (
    "c and r show a plan and ask for confirmation. They do the same as",
    "`qcfeed tasks cancel`, `feeds cancel`, `subscribers kick` and",
    "`orphans --reap`, and are logged in the audit log like those.",
)


def help_lines() -> list[str]:
    """One line per key."""
    width = max(len(key.shown) for key in KEYS)
    return [f"{key.shown:<{width}}  {key.about}" for key in KEYS]


def sentence() -> str:
    """All keys in one sentence, for ``qcfeed top --help``."""
    return "; ".join(f"{key.shown} ({key.about})" for key in KEYS)


def footer(width: int, *, live: bool = True) -> str:
    """The keys that have a word, as many as fit into ``width``; ``live``: there is a service to act on."""
    worded = [key for key in KEYS if key.word and (live or not key.acts)]
    return _joined(
        drop_by_rank(worded, lambda key: key.rank, lambda kept: len(_joined(kept)) <= width)
    )


def _joined(keys: Sequence[Key]) -> str:
    return "  ".join(f"{key.shown.partition(',')[0]} {key.word}" for key in keys)
