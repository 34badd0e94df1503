"""Imports qcfeed into the program and attaches it. Without a fitting qcfeed it changes nothing."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from qcfeed.inject.injected import loops

RESIDENT = "qcfeed.inject.resident"


def work(here: Any, arguments: dict[str, Any]) -> Any:
    """Attach the loop of the thread that ran this script, usually the main thread; else the only other loop.

    Cost: 0.5 s of imports in a thread of its own, during which the program's threads get less of the
    interpreter; then 5 ms in the loop.
    """
    found = loops.running(here)
    if not found:
        return _error("no_running_loop", *loops.NONE_RUNS)
    if here is None and len(found) > 1:
        names = ", ".join(thread for thread, _ in found)
        return _error(
            "usage",
            f"{len(found)} event loops run in it, and none in the main thread: {names}",
            "`qcfeed tasks --pid` shows them; call `qcfeed.attach(...)` in the one that you mean",
        )
    before = set(sys.modules)
    with _path(arguments["path"]):
        try:
            resident = _imported(arguments)
        except _RefusedError as refused:
            _forget(before)
            return refused.args[0]
    return resident.attach(found[0][1], arguments)


class _RefusedError(Exception):
    """Nothing can be attached; the argument is the answer to the command."""


def _imported(arguments: dict[str, Any]) -> ModuleType:
    _check_versions(arguments)
    try:
        for name in arguments["packages"]:
            importlib.import_module(name)
        return importlib.import_module(RESIDENT)
    except Exception as error:
        raise _RefusedError(
            _error(
                "incompatible",
                f"qcfeed cannot be imported there: {type(error).__name__}: {error}",
                "install this qcfeed in the program's own environment; `qcfeed tasks --pid` works"
                " without that",
            )
        ) from error


def _check_versions(arguments: dict[str, Any]) -> None:
    """Refuse a package that the program has in a version too old for qcfeed, or another qcfeed."""
    hint = "upgrade it in the program's environment and restart that; or `qcfeed tasks --pid`"
    for name, least in arguments["least"].items():
        there = _version(name)
        if there is not None and _numbers(there) < _numbers(least):
            raise _RefusedError(
                _error("incompatible", f"it has {name} {there}, and qcfeed needs {least}", hint)
            )
    if importlib.util.find_spec("qcfeed") is None:
        raise _RefusedError(_error("incompatible", arguments["missing"], arguments["missing_hint"]))
    there = importlib.import_module("qcfeed").__version__
    if there != arguments["version"]:
        raise _RefusedError(
            _error(
                "incompatible",
                f"it has qcfeed {there}, and this command is qcfeed {arguments['version']}",
                "use the qcfeed of the program's own environment",
            )
        )


def _version(distribution: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return None


def _numbers(version: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", version)[:3]]


@contextlib.contextmanager
def _path(entries: list[str]) -> Iterator[None]:
    """Append these entries to ``sys.path``, only while qcfeed is imported: the program's own imports must
    not find the packages there."""
    added = [entry for entry in entries if entry not in sys.path]
    sys.path.extend(added)
    try:
        yield
    finally:
        for entry in added:
            with contextlib.suppress(ValueError):
                sys.path.remove(entry)
        importlib.invalidate_caches()


def _forget(before: set[str]) -> None:
    """Remove the modules of qcfeed that were imported, because attaching failed."""
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "qcfeed":
            del sys.modules[name]


def _error(code: str, message: str, hint: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "hint": hint}}
