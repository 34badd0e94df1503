"""The name of an object that a program waits for: the attribute or global variable that refers to it.

Nothing of the program is executed: no property and no ``__getattr__``.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from qcfeed.diagnostics import chain
from qcfeed.diagnostics.source_lines import is_library

_PLAIN = (type, ModuleType, dict, list, tuple, set, frozenset, str, bytes, int, float)
_MAX_OWNERS = 50
"""Objects of a task that are searched for an attribute."""


def name_of(thing: object, links: list[Any]) -> str:
    """``Class.attribute``, if an object that these coroutines hold has ``thing`` in an attribute, else the
    global variable as ``module.name``; empty if neither is found.

    Cost: 1 us per object that the coroutines hold, and 1 ms per 10,000 global variables of the program.
    """
    if thing is None:
        return ""
    for owner in list(_owners(links))[:_MAX_OWNERS]:
        if any(each is thing for each in gc.get_referents(owner)) or _is_in_dict(owner, thing):
            for name, value in attributes(owner):
                if value is thing:
                    return f"{type(owner).__name__}.{name}"
    return _global(thing)


def attributes(owner: object) -> Iterator[tuple[str, Any]]:
    """The attributes of an instance: its ``__dict__`` and its slots. Reads them without running code of
    the program."""
    for cls in type(owner).__mro__:
        members = vars(cls)
        for name, member in list(members.items()):
            if type(member) is MemberDescriptorType:
                try:
                    yield name, member.__get__(owner)
                except AttributeError:  # the slot is empty
                    continue
        described = members.get("__dict__")
        if type(described) is GetSetDescriptorType:
            yield from list(described.__get__(owner).items())


def _owners(links: list[Any]) -> Iterator[Any]:
    for link in links:
        code = chain.code(link)
        if code is not None and "/asyncio/" not in code.co_filename:
            yield from (each for each in chain.held(link) if not issubclass(type(each), _PLAIN))


def _is_in_dict(owner: object, thing: object) -> bool:
    """Whether the instance has a dict of its own, as it has after ``vars(owner)``, that holds ``thing``."""
    dicts = [each for each in gc.get_referents(owner) if type(each) is dict]
    return any(value is thing for each in dicts for value in list(each.values()))


def _global(thing: object) -> str:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not is_library(file):
            for name, value in list(vars(module).items()):
                if value is thing:
                    return f"{module.__name__}.{name}"
    return ""
