"""The public surface: everything that docs/reference/compatibility.md promises to keep, as JSON."""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import schemas

from qcfeed.cli import command_tree
from qcfeed.errors import ExitStatus
from qcfeed.metrics.catalog.alerts import ALERTS
from qcfeed.metrics.catalog.metrics import METRICS
from qcfeed.model import messages

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "tests" / "compatibility" / "released.json"
"""The surface of the last release. ``python -m tests.compatibility`` writes it, at a release."""


def surface() -> dict[str, Any]:
    return {
        "commands": _commands(),
        "exit statuses": _numbers(ExitStatus),
        "answers": _answers(),
        "metrics": {m.name: {"kind": m.kind.name, "labels": list(m.labels)} for m in METRICS},
        "alerts": [alert.name for alert in ALERTS],
        "wire": _wire(),
        "python": _python((ROOT / "docs" / "reference" / "python-api.md").read_text()),
        "python versions": _versions(),
    }


def lost(old: Any, new: Any, where: str = "") -> list[str]:
    """What ``old`` has and ``new`` does not: names, members of lists, and values that changed."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        gone = [f"{where}/{key}" for key in old if key not in new]
        kept = [lost(value, new[key], f"{where}/{key}") for key, value in old.items() if key in new]
        return [*gone, *(each for found in kept for each in found)]
    if isinstance(old, list) and isinstance(new, list):
        return [f"{where}: {each}" for each in old if each not in new]
    return [] if old == new else [f"{where}: {old} is {new}"]


def succeeded(tag: str, answers: Iterable[str]) -> bool:
    """Whether an answer's schema is gone because one with a higher number replaced it."""
    name, _, number = tag.rpartition("/")
    return any(
        each.rpartition("/")[0] == name and int(each.rpartition("/")[2]) > int(number)
        for each in answers
    )


def _commands() -> dict[str, list[str]]:
    return {
        ctx.command_path: sorted(
            {name for each in ctx.command.params for name in [*each.opts, *each.secondary_opts]}
        )
        for ctx in command_tree.commands()
    }


def _numbers(kind: type[Enum]) -> dict[str, Any]:
    return {each.name: each.value for each in kind}


def _answers() -> dict[str, Any]:
    """Each answer's schema by its tag, with the parts that it refers to in place."""
    definitions = schemas.schemas()["$defs"]
    found = {}
    for definition in definitions.values():
        for tag in definition.get("properties", {}).get("schema", {}).get("enum", ()):
            found[tag] = _expanded(definition, definitions, ())
    return found


def _expanded(schema: Any, definitions: Mapping[str, Any], above: tuple[str, ...]) -> Any:
    if isinstance(schema, list):
        return [_expanded(each, definitions, above) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return name if name in above else _expanded(definitions[name], definitions, (*above, name))
    told = {"description", "title"}
    return {k: _expanded(v, definitions, above) for k, v in schema.items() if k not in told}


def _wire() -> dict[str, Any]:
    types = [messages.ServerMessage, messages.Request]
    _, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    told = {name: _expanded(each, definitions, (name,)) for name, each in definitions.items()}
    return {"messages": told, "close codes": _numbers(messages.CloseCode)}


def _python(page: str) -> dict[str, Any]:
    """The parameters of every function that the page documents, and of the methods of its classes."""
    found: dict[str, Any] = {}
    for name in re.findall(
        r"^\.\. auto(?:function|class|exception):: ([\w.]+)", page, re.MULTILINE
    ):
        module, _, attribute = name.rpartition(".")
        documented = getattr(importlib.import_module(module), attribute)
        found[name] = _parameters(documented)
        if inspect.isclass(documented):
            for method, function in vars(documented).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    found[f"{name}.{method}"] = _parameters(function)
    return found


def _parameters(function: Any) -> list[str]:
    return [
        name
        for name in inspect.signature(function).parameters
        if not name.startswith(("_", "args"))
    ]


def _versions() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [line.rpartition(" ")[2] for line in project["classifiers"] if ":: 3." in line]
