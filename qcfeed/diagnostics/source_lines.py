"""The text of source lines, by location: ``file:line``.

It reads only the files of imported modules, so a location from outside cannot make it read any other.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType

from qcfeed.diagnostics.locations import application_line
from qcfeed.diagnostics.site import short_path

MAX_LINE = 200
"""Characters of a line that are returned."""

_short = lru_cache(4096)(short_path)


def source_lines(places: Iterable[str]) -> dict[str, str]:
    """The text of each ``file:line``, as the file has it now; those that cannot be read are left out.

    For a task that a library creates for the application, this is the application's line.

    From any thread. Cost: 1 us per imported module, and 3 us per location whose file is cached.
    """
    modules = _modules()
    found = {place: _text(place, modules) for place in places}
    return {place: text for place, text in found.items() if text}


def source_line(place: str) -> str:
    """As ``source_lines``, for one place; empty if it cannot be read."""
    return source_lines([place]).get(place, "")


def _modules() -> dict[str, ModuleType]:
    """The imported modules by the short path of their file."""
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            found[_short(file)] = module
    return found


def _text(place: str, modules: dict[str, ModuleType]) -> str:
    file, _, line = application_line(place).rpartition(":")
    module = modules.get(file)
    if module is None or not line.isdecimal():
        return ""
    path = str(module.__file__)
    linecache.checkcache(path)
    # linecache finds the module's loader in its globals; a loader can read from a zip file.
    return linecache.getline(path, int(line), vars(module)).strip()[:MAX_LINE]
