"""What a tool is, and its JSON Schemas (JSON Schema 2020-12, as the protocol requires)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from qcfeed.model.answer import Answer


class NoArguments(msgspec.Struct, forbid_unknown_fields=True):
    """A tool without arguments."""


class Tool(NamedTuple):
    """One tool.

    ``run`` takes the decoded arguments and returns one of ``answers``, or plain text if there are none. It
    blocks, and raises QcfeedError. ``acts``: whether it changes the service.
    """

    name: str
    description: str
    arguments: type[msgspec.Struct]
    run: Callable[[Any], Answer | str]
    answers: tuple[type[Answer], ...] = ()
    acts: bool = False


def input_schema(tool: Tool) -> dict[str, Any]:
    """The schema of the tool's arguments: an object."""
    references, definitions = msgspec.json.schema_components(
        [tool.arguments], ref_template=_TEMPLATE
    )
    root: dict[str, Any] = definitions.pop(references[0]["$ref"].rpartition("/")[2])
    return root | ({"$defs": definitions} if definitions else {})


def output_schema(tool: Tool) -> dict[str, Any] | None:
    """The schema of the tool's answers: an object; None if it answers in plain text."""
    if not tool.answers:
        return None
    references, definitions = msgspec.json.schema_components(tool.answers, ref_template=_TEMPLATE)
    return {"type": "object", "anyOf": list(references), "$defs": definitions}


_TEMPLATE = "#/$defs/{name}"
