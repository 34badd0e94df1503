"""Names an object by the way that led to it: ``billing.app.server.handler.seen``."""

from __future__ import annotations

from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from qcfeed.diagnostics import references
from qcfeed.diagnostics.heap_walk import HeapWalk

MAX_STEPS = 30
"""Steps of a path that are shown: the last ones."""
_KEY = 40
"""Characters of a dictionary key that are shown."""


class RootName(NamedTuple):
    """What to call a root: ``text`` begins its path, and ``where`` says who refers to it."""

    text: str
    where: str = ""


def path_of(walk: HeapWalk, node: int, names: dict[int, RootName]) -> str:
    """The way from a root to a node. ``names``: what to call the roots, by id.

    Attributes of a few objects are looked up, which materializes their ``__dict__``.
    """
    steps: list[int] = []
    while node >= 0 and len(steps) < MAX_STEPS:
        steps.append(node)
        node = walk.parents[node]
    steps.reverse()
    things = [walk.things[each] for each in steps]
    name = names.get(id(things[0]), RootName(type_name(type(things[0]))))
    text = "..." if node >= 0 else name.text
    for before, parent, child in zip([None, *things], things, things[1:], strict=False):
        text += _edge(before, parent, child)
    return f"{text} ({name.where})" if name.where and node < 0 else text


def type_name(kind: type) -> str:
    """``module.Name`` of a class; ``Name`` of a built-in one."""
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _edge(before: Any, parent: Any, child: Any) -> str:
    """How ``parent``, which ``before`` led to, refers to ``child``; empty if its own name suffices."""
    kind = type(parent)
    if kind is dict:
        if before is not None and _is_namespace(before, parent):
            return _attribute(parent, child)
        return _key(parent, child)
    if type(before) is FunctionType and parent is before.__closure__:
        return _variable(before, child)
    if kind in (list, tuple, set, frozenset) or references.is_container(parent):
        return "[]"
    if kind is ModuleType or child is references.instance_dict(parent):
        return ""
    if kind is CellType:
        return ""
    if kind is MethodType:
        # A timer or callback leads to an object that may have no other name: its class is one.
        return f" > {type_name(type(child))}"
    if kind is FunctionType:
        return "" if child is parent.__closure__ else "()"
    return _member(parent, child)


def _is_namespace(holder: Any, found: dict[Any, Any]) -> bool:
    if type(holder) is ModuleType or isinstance(holder, type):
        return True
    return found is references.instance_dict(holder)


def _attribute(namespace: dict[Any, Any], child: Any) -> str:
    for name, value in list(namespace.items()):
        if value is child:
            return f".{name}"
    return ".?"


def _key(holder: dict[Any, Any], child: Any) -> str:
    if len(holder) <= references.MAX_ITEMS:
        for name, value in list(holder.items()):
            if value is child and type(name) in (str, int):
                return f"[{name!r:.{_KEY}}]" if type(name) is int else f"[{name[:_KEY]!r}]"
    return "[]"


def _variable(function: FunctionType, child: Any) -> str:
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        if cell is child:
            return f" variable {name}"
    return ""


def _member(parent: Any, child: Any) -> str:
    for name, value in references.attributes(parent):
        if value is child:
            return f".{name}"
    return f" > {type_name(type(child))}"
