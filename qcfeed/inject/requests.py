"""The requests to another process: look at its tasks, attach it, detach it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from qcfeed import __version__
from qcfeed.inject import exchange
from qcfeed.inject.process import TargetProcess

PACKAGES = ("aiohttp", "msgspec", "psutil", "prometheus_client")
"""The packages that an attached program needs besides qcfeed."""
IMPORT_S = 10.0
"""Seconds that a process may take to import qcfeed."""
STOP_S = 5.0
"""Seconds that it may take to end the control plane: an action that is under way is cancelled first."""
_CODE = "qcfeed.inject.injected"
_LEAST = re.compile(r"^([A-Za-z0-9_.-]+)\s*>=\s*([0-9.]+)")


def look(target: TargetProcess, within: float) -> dict[str, Any]:
    """The process's tasks by coroutine and wait, for each of its running loops (injected/look.py).

    ``within``: seconds until it must have begun, and the same again until it must have finished.
    """
    return exchange.run(target, f"{_CODE}.look", {}, within, within)


def attach(
    target: TargetProcess, instance: str, *, seconds: float | None, within: float
) -> dict[str, Any]:
    """Attach the process as ``instance``, for ``seconds`` or until it is detached.

    ``within``: seconds until it must have begun, and until its loop must run.
    """
    own, there = (
        ".".join(map(str, sys.version_info[:2])),
        ".".join(map(str, target.runtime.version)),
    )
    arguments = {
        "instance": instance,
        "seconds": seconds,
        "within": within,
        "version": __version__,
        "path": _path() if own == there else [],
        "packages": PACKAGES,
        "least": _least(),
        "missing": f"qcfeed is not in its environment, and this one is installed for Python {own},"
        f" not for {there}",
        "missing_hint": f"run the qcfeed of a Python {there} environment, or `pip install qcfeed` in the"
        " program's own; `qcfeed tasks --pid` works as it is",
    }
    return exchange.run(target, f"{_CODE}.attach", arguments, within, within + IMPORT_S)


def detach(target: TargetProcess, within: float) -> dict[str, Any]:
    """Detach the process. ``left`` in the result lists parts of qcfeed that are still there; usually none."""
    return exchange.run(target, f"{_CODE}.detach", {"within": within}, within, within + STOP_S)


def _path() -> list[str]:
    """The directories from which qcfeed and its packages are imported here."""
    found = []
    for name in ("qcfeed", *PACKAGES):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            found.append(str(Path(spec.origin).parent.parent))
    return list(dict.fromkeys(found))


def _least() -> dict[str, str]:
    """The oldest version of each package that qcfeed works with, as its metadata says."""
    matches = filter(None, map(_LEAST.match, importlib.metadata.requires("qcfeed") or ()))
    needed = {name.replace("_", "-") for name in PACKAGES}
    return {found[1]: found[2] for found in matches if found[1] in needed}
