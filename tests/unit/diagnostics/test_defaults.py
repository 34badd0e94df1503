"""What a new count, row or observation says before anything was counted: nothing."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

from qcfeed import diagnostics


def counted() -> Iterator[type]:
    """Every dataclass of the package."""
    for found in pkgutil.iter_modules(diagnostics.__path__, "qcfeed.diagnostics."):
        module = importlib.import_module(found.name)
        for kind in vars(module).values():
            if dataclasses.is_dataclass(kind) and kind.__module__ == found.name:
                yield kind  # type: ignore[misc]


def test_every_number_begins_at_zero_and_nothing_is_said() -> None:
    told = {
        f"{kind.__name__}.{field.name}": field.default
        for kind in counted()
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING and not isinstance(field.default, bool)
    }
    assert len(told) > 40
    assert {name: value for name, value in told.items() if value} == {}
