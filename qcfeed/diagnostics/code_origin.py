"""Whose code a file is: the application's, a library's, asyncio's, or that of a wrapper around asyncio.

The application is every file outside the standard library and the directories of installed packages. An
application that is installed as a package itself is declared with ``declare_application``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from enum import IntEnum

from qcfeed.diagnostics.site import inside


class CodeOrigin(IntEnum):
    """``BETWEEN``: asyncio, contextlib and these diagnostics, which stand between a task and the code
    that creates it. ``WRAPPER``: a library whose functions create tasks in place of asyncio's."""

    APPLICATION = 0
    LIBRARY = 1
    WRAPPER = 2
    BETWEEN = 3


WRAPPERS = frozenset(
    {
        "anyio",  # TaskGroup.start_soon, and everything that trio's API is translated to
        "ddtrace",
        "elasticapm",
        "logfire",
        "newrelic",
        "opentelemetry",
        "sentry_sdk",
        "wrapt",
    }
)
"""Packages that create a task for their caller: the line that calls them is the one that matters."""

_STDLIB = inside(os.path.dirname(os.__file__))  # noqa: PTH120
_PACKAGES = ("/site-packages/", "/dist-packages/")
_SCRIPTS = inside(os.path.dirname(sys.executable or os.__file__))  # noqa: PTH120
_ASYNCIO = inside(os.path.dirname(asyncio.__file__))  # noqa: PTH120
_FILE: str = globals().get("__file__", "<qcfeed.diagnostics>")
"""This file; ``qcfeed tasks --pid`` runs this module in programs where it has none."""
_OWN = inside(os.path.dirname(_FILE)) or "<qcfeed."  # noqa: PTH120
PROBES = f"{_OWN}self_check.py"
"""The file that creates the ledger's probes, as an application creates its tasks."""
MAX_FILES = 4_096
"""Files whose origin is remembered: a notebook has a file per cell, and generated code may have any number."""
_declared: set[str] = set()
"""The directories and files of declared applications."""


def declare_application(file: str) -> None:
    """Count the installed package that ``file`` belongs to as part of the application.

    Does nothing for a file outside the directories of installed packages.
    """
    if (package := _package(file)) is not None:
        directory, name = package
        path = f"{directory}{name}"
        _declared.add(path if name.endswith(".py") else inside(path))
        origins.clear()


class _Origins(dict[str, CodeOrigin]):
    """The origin of each file, worked out at its first use. Cost of the others: 30 ns."""

    def __missing__(self, file: str) -> CodeOrigin:
        if len(self) >= MAX_FILES:
            self.clear()
        self[file] = found = _origin(file)
        return found


origins = _Origins()
"""``origins[code.co_filename]`` is the origin of a code object."""


def is_library(file: str) -> bool:
    """Whether a file belongs to the standard library or an installed package, not to the application."""
    return origins[file] is not CodeOrigin.APPLICATION


def _origin(file: str) -> CodeOrigin:
    if file == PROBES:
        return CodeOrigin.APPLICATION
    if file.startswith((_ASYNCIO, _OWN)) or file == contextlib.__file__:
        return CodeOrigin.BETWEEN
    if file.startswith(tuple(_declared)):
        return CodeOrigin.APPLICATION
    if (package := _package(file)) is not None:
        return CodeOrigin.WRAPPER if package[1] in WRAPPERS else CodeOrigin.LIBRARY
    # A file without suffix among the scripts is the starter of an installed package.
    is_starter = file.startswith(_SCRIPTS) and not file.endswith(".py")
    if is_starter or file.startswith((_STDLIB, "<frozen")):
        return CodeOrigin.LIBRARY
    return CodeOrigin.APPLICATION


def _package(file: str) -> tuple[str, str] | None:
    """The directory of an installed package and its name, or the name of its only file."""
    for part in _PACKAGES:
        before, found, within = file.rpartition(part)
        if found:
            return f"{before}{found}", within.partition("/")[0]
    return None
