"""The name of an object that a program waits for: the attribute or global variable that refers to it."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterable
from typing import Any

from qcfeed.diagnostics import references
from qcfeed.diagnostics.code_origin import is_library

_MAX_OWNERS = 50
"""Objects of a task that are searched for an attribute."""


def attribute_name(thing: object, links: list[Any]) -> str:
    """``Class.attribute``, if an object that these coroutines hold has ``thing`` in an attribute, or
    ``Class.attribute[...]`` if it is in a container there; else empty.

    Cost: 1 us per object that the coroutines hold.
    """
    owners = references.held(references.own(links))
    for owner in itertools.islice(owners, _MAX_OWNERS) if thing is not None else ():
        if any(each is thing for each in references.referents(owner)):
            for name, value in references.attributes(owner):
                if value is thing:
                    return f"{type(owner).__name__}.{name}"
                if references.is_container(value) and _contains(value, thing):
                    return f"{type(owner).__name__}.{name}[...]"
    return ""


def global_names(things: Iterable[object]) -> dict[int, str]:
    """The global variables that refer to these objects, as ``module.name``, by ``id()`` of the object.

    Only modules of the program are searched. Cost: 1 ms per 10,000 global variables.
    """
    wanted = {id(thing) for thing in things if thing is not None}
    found: dict[int, str] = {}
    for module in list(sys.modules.values()) if wanted else ():
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not is_library(file):
            for name, value in list(vars(module).items()):
                if id(value) in wanted:
                    found.setdefault(id(value), f"{module.__name__}.{name}")
    return found


def _contains(container: Any, thing: object) -> bool:
    """By identity: ``in`` would call the program's ``__eq__``."""
    return any(each is thing for each in gc.get_referents(container))
