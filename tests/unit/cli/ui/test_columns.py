"""Columns name the field that they show: a field that a row does not have fails here, not at night."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import qcfeed.cli
from qcfeed.cli.ui.table import Table


def tables() -> Iterator[tuple[str, type, Table[Any]]]:
    """Every table that is declared in a module of the command line, with the type of its rows."""
    for found in pkgutil.walk_packages(qcfeed.cli.__path__, "qcfeed.cli."):
        module = importlib.import_module(found.name)
        annotated = getattr(module, "__annotations__", {})
        hints = get_type_hints(module) if "Table" in " ".join(map(str, annotated.values())) else {}
        for name, hint in hints.items():
            if get_origin(hint) is Table:
                yield f"{found.name}.{name}", get_args(hint)[0], getattr(module, name)


TABLES = list(tables())


@pytest.mark.parametrize(
    ("row", "table"), [each[1:] for each in TABLES], ids=[t[0] for t in TABLES]
)
def test_every_named_field_exists_on_the_row(row: type, table: Table[Any]) -> None:
    named = {
        column.value or column.key for column in table.columns if isinstance(column.value, str)
    }
    # A row may also be a generic type, tuple[str, Any], which is not a class from Python 3.14 on.
    example = next(iter(row)) if isinstance(row, type) and issubclass(row, Enum) else row
    known = {*dir(example), *getattr(row, "__annotations__", {})}
    assert named <= known


def test_the_tables_are_found() -> None:
    assert len(TABLES) >= 20
