"""The text of a line of this program, by its place as the books name it: ``file:line``.

Only of files that are imported: a name from elsewhere cannot make it read another one.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType

from qcfeed.diagnostics.site import short_path

MAX_LINE = 200
"""Characters of a line that are told."""

_STDLIB = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118,PTH120
_LIBRARIES = ("/site-packages/", "/dist-packages/")
_short = lru_cache(4096)(short_path)


def is_library(file: str) -> bool:
    """Whether a file is the standard library's or an installed package's, not a reader's own."""
    return file.startswith((_STDLIB, "<frozen")) or any(part in file for part in _LIBRARIES)


def source_lines(places: Iterable[str]) -> dict[str, str]:
    """The text of each ``file:line``, as the file has it now; left out where it cannot be read.

    From any thread. Cost: 1 us an imported module, then 3 us a place whose file was read before.
    """
    modules = _modules()
    found = {place: _text(place, modules) for place in places}
    return {place: text for place, text in found.items() if text}


def source_line(place: str) -> str:
    """As ``sources``, of one place; empty where it cannot be read."""
    return source_lines([place]).get(place, "")


def _modules() -> dict[str, ModuleType]:
    """What is imported, by the file's short path."""
    found = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            found[_short(file)] = module
    return found


def _text(place: str, modules: dict[str, ModuleType]) -> str:
    file, _, line = place.rpartition(":")
    module = modules.get(file)
    if module is None or not line.isdecimal():
        return ""
    path = str(module.__file__)
    linecache.checkcache(path)
    # The module's names tell linecache its loader, which can read a zip.
    return linecache.getline(path, int(line), vars(module)).strip()[:MAX_LINE]
