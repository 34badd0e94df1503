"""The JSON Schemas of every answer that a command or the control plane gives: docs/schemas.json."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import msgspec

import qcfeed


def answers() -> list[type[msgspec.Struct]]:
    """Every struct whose JSON names its schema (``qcfeed.status/2``), sorted by that name."""
    for module in pkgutil.walk_packages(qcfeed.__path__, "qcfeed."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return sorted(_tagged(msgspec.Struct), key=lambda each: str(each.__struct_config__.tag))


def schemas() -> dict[str, Any]:
    """One document: each answer is a definition, and an answer is valid if it fits one of them."""
    types = answers()
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What qcfeed's commands print with -o json, and its control plane answers",
        "oneOf": list(references),
        "$defs": definitions,
    }


def render() -> str:
    """docs/schemas.json."""
    return json.dumps(schemas(), indent=1, sort_keys=True)


def _tagged(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in base.__subclasses__():
        tag = each.__struct_config__.tag
        if isinstance(tag, str) and tag.startswith("qcfeed."):
            yield each
        yield from _tagged(each)
