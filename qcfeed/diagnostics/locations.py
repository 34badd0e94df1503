"""The text of a spawn location: one place (``file:line``), or a library's and the application's.

This module is quick to import.

``bot.py:88``: the application creates the tasks there. ``ccxt/future.py:20 < bot.py:88``: a library creates
them, and the second place is the nearest line of the application that called it.
"""

from __future__ import annotations

CALLED_BY = " < "
"""Between a line of a library and the line of the application that called it."""


def places(location: str) -> list[str]:
    """The one or two places of a spawn location; the application's is the last."""
    return location.split(CALLED_BY)


def creator(location: str) -> str:
    """The line that creates the tasks, be it a library's or the application's."""
    return places(location)[0]


def application_line(location: str) -> str:
    """The application's line; the library's if no line of the application led to it."""
    return places(location)[-1]


def named_places(location: str, wanted: str) -> list[str]:
    """Which of a location's places ``wanted`` names, or the whole location; empty if none.

    ``wanted``: ``FILE:LINE``, ``FILE``, or a whole location. Whole path components are compared from the
    right, so ``feed.py:77`` names ``qcfeed/server/feed.py:77`` but not ``my_feed.py:77``.
    """
    if CALLED_BY in wanted:
        return [location] if f"/{location}".endswith(f"/{wanted}") else []
    return [place for place in places(location) if _names(wanted, place)]


def site_option(location: str) -> str:
    """The option of a command that selects a location, as it is typed in a shell."""
    import shlex  # imports re, which TAB completion should not pay for

    return f"--site {shlex.quote(location)}"


def _names(wanted: str, place: str) -> bool:
    path, _, line = place.rpartition(":")
    wanted_path, _, wanted_line = wanted.rpartition(":")
    if not wanted_line.isdecimal():
        wanted_path, wanted_line = wanted, line
    whole = path or place  # `other` has no line
    same = whole == wanted_path or whole.endswith(f"/{wanted_path}")
    return same and line == wanted_line
