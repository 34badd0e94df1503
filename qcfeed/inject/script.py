"""Combines several modules into one script, to be run in a program that cannot import them.

The script leaves no trace: it changes neither ``sys.modules`` nor ``sys.path``, and once it has ended, nothing
refers to its modules.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

_OWN = "qcfeed."
_LOADER = """
def _qcfeed():
    import builtins, types
    sources, loaded = SOURCES, {}
    def load(name):
        if name not in loaded:
            module = loaded[name] = types.ModuleType(name)
            module.__dict__["__builtins__"] = dict(vars(builtins), __import__=find)
            exec(compile(sources[name], f"<{name}>", "exec"), module.__dict__)
        return loaded[name]
    def find(name, globals=None, locals=None, fromlist=(), level=0):
        if name in sources:
            return load(name)
        inner = [each for each in fromlist or () if f"{name}.{each}" in sources]
        if inner:
            return types.SimpleNamespace(**{each: load(f"{name}.{each}") for each in inner})
        return builtins.__import__(name, globals, locals, fromlist, level)
    load("qcfeed.inject.injected.begin").begin(
        DIRECTORY, lambda: load(WORK).work, ARGUMENTS, ANSWER_S)
try:
    _qcfeed()
except Exception:
    pass  # nothing may be raised into the program; the command notices that no report comes
finally:
    del _qcfeed
"""
_BEGIN = "qcfeed.inject.injected.begin"


def build(directory: str, work: str, arguments: dict[str, Any], answer_s: float) -> str:
    """The script that runs the function ``work`` of module ``work`` and reports to ``directory``."""
    values = {
        "SOURCES": {name: _source(name) for name in sorted(modules(_BEGIN) | modules(work))},
        "DIRECTORY": directory,
        "WORK": work,
        "ARGUMENTS": arguments,
        "ANSWER_S": answer_s,
    }
    return "".join(f"{name} = {value!r}\n" for name, value in values.items()) + _LOADER


def modules(name: str) -> set[str]:
    """A module of qcfeed, and those of qcfeed that it imports, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += _imports(each)
    return found


def _imports(name: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(_source(name))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_OWN):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [each if _is_module(each) else str(node.module) for each in inner]
    return found


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module, so this is a name inside it
        return False


@cache
def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return Path(spec.origin).read_text(encoding="utf-8")
