"""Which interpreters are refused, because the ledger's answers could be silently wrong there.

The ledger reads the internals of CPython's asyncio, frames and reference counts, from other threads
while tasks run. It relies on the GIL for that. No other implementation and no free-threaded build has
been tested, so ``attach``, ``qcfeed serve`` and the pytest plugin refuse them.

A free-threaded build is refused even with its GIL enabled (``PYTHON_GIL=1``, or an extension module
that needs it). Reference counts, the garbage collector and asyncio's task lists depend on the build,
not on that switch, and the test suite has not run on them.
"""

from __future__ import annotations

import sys
from typing import NamedTuple


class Unsupported(NamedTuple):
    """Why an interpreter is refused, and what to do about it."""

    message: str
    hint: str


def refusal() -> Unsupported | None:
    """Why the running interpreter is refused; None if it is supported. Costs nothing."""
    free_threaded = "t" in getattr(sys, "abiflags", "")
    return judge(sys.implementation.name, sys.version_info[:2], free_threaded=free_threaded)


def judge(
    implementation: str, version: tuple[int, int], *, free_threaded: bool
) -> Unsupported | None:
    """Why such an interpreter is refused. ``implementation``: as ``sys.implementation.name``."""
    number = ".".join(map(str, version))
    if implementation != "cpython":
        return Unsupported(
            f"this Python is {implementation} ({number}): qcfeed reads asyncio's tasks as CPython"
            " keeps them, has not been tested here, and could report wrong counts",
            f"run it on CPython, for example `python{number}`",
        )
    if free_threaded:
        return Unsupported(
            f"this Python {number} is a free-threaded build: qcfeed's task ledger relies on the GIL,"
            " has not been tested without it, and could report wrong counts",
            f"run it on the standard build, for example `python{number}`; PYTHON_GIL=1 is not enough",
        )
    return None
