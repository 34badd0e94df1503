"""Generates words.json from the commands: ``python -m qcfeed.cli.complete.words``.

The metavar of an option or argument decides how its value is completed: see KINDS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from typer._click import Context, Parameter
from typer.core import TyperOption

from qcfeed import config
from qcfeed.cli import command_tree
from qcfeed.cli.complete.line import FILES, FREE
from qcfeed.cli.target import PROGRAM
from qcfeed.cli.ui.render import emit

if TYPE_CHECKING:
    from qcfeed.cli.complete.line import Value

KINDS = {
    "AFTER": FILES,
    "BEFORE": FILES,
    "CONTEXT": "contexts",
    "DIR": FILES,
    "DRILL": "drills",
    "FILE": FILES,
    "FILE:LINE": "locations",
    "ID": "subscribers",
    "INSTANCE": "instances",
    "PATH": FILES,
    "RUNBOOK": "runbooks",
    "SERIAL": "serials",
    "SYMBOL": "symbols",
}
"""The kind of a value (line.py, live.py) by its metavar, without brackets and dots."""

WORDS = {"SHELL": ["bash", "zsh", "fish", "install"]}
"""The values of an argument that is a word, by its metavar."""

COMMAND_KINDS = {("feeds cancel", "SYMBOL"): "feeds"}
"""Exceptions from KINDS, by command and metavar."""

_CHOICES = {
    option.name: list(map(str, option.choices)) for option in config.all_options() if option.choices
}


def words() -> str:
    """The whole file, one command per line.

    For each command by path: its help, its subcommands, its arguments (kind of value, whether
    repeatable) and its options by spelling (name, kind of value or null for a flag, whether
    repeatable, help).
    """
    lines = (
        f"{_json(path)}: {_json(entry)}" for path, entry in map(_entry, command_tree.commands())
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entry(ctx: Context) -> tuple[str, dict[str, Any]]:
    command, path = ctx.command, ctx.command_path.removeprefix(PROGRAM).strip()
    params = command.get_params(ctx)  # also those that are documented elsewhere
    options = (param for param in params if isinstance(param, TyperOption))
    return path, {
        "help": _sentence(command.help or command.short_help),
        "commands": list(command_tree.subcommands(command)),
        "arguments": [
            (_value(path, p), p.nargs != 1) for p in params if not isinstance(p, TyperOption)
        ],
        "options": dict(pair for param in options for pair in _options(path, param)),
    }


def _options(path: str, param: TyperOption) -> Iterator[tuple[str, tuple[Any, ...]]]:
    name, text = param.name or "", _sentence(param.help)
    optional = (param.metavar or "").startswith("[")  # ui/watching.py
    value = None if param.is_flag or optional else _value(path, param)
    for spelling in sorted(param.opts, key=len):  # click's order of -h and --help varies
        yield spelling, (name, value, param.multiple, text)
    for spelling in param.secondary_opts:
        yield spelling, (name, None, False, f"The opposite of {param.opts[0]}.")


def _value(path: str, param: Parameter) -> Value:
    """The kind of a value, by its type or its metavar."""
    if choices := getattr(param.type, "choices", ()):  # an enumeration's
        return [str(getattr(choice, "value", choice)) for choice in choices]
    if choices := _CHOICES.get(param.name or ""):
        return choices
    # The last word: ``[run] [RUNBOOK]`` completes as RUNBOOK.
    metavar = (param.metavar or "").rpartition(" ")[2].strip("[]").removesuffix("...")
    if metavar in WORDS:
        return WORDS[metavar]
    return COMMAND_KINDS.get((path, metavar)) or KINDS.get(metavar, FREE)


def _sentence(text: str | None) -> str:
    """The first sentence, without its full stop: shells have room for little more."""
    [first, *_] = re.split(r"(?<=[^.])\.(?:\s|$)|\n\n|  \[", text or "", maxsplit=1)
    return " ".join(first.split())


if __name__ == "__main__":
    emit(words())
