"""words.json, written from the commands: ``python -m qcfeed.cli.complete.words``.

A value's metavar says what it is, to the reader of the help and to the TAB: whoever declares an
option with one of KINDS has it completed.
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
from qcfeed.cli.main import PROGRAM
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

OF_COMMAND = {("feeds cancel", "SYMBOL"): "feeds"}
"""Where a command means something narrower."""

_CHOICES = {
    option.name: list(map(str, option.choices)) for option in config.all_options() if option.choices
}


def written() -> str:
    """The whole file, a command a line.

    By a command's path: its help, its subcommands, its arguments (kind of value, whether it
    repeats) and its options by spelling (name, kind of value or null for a flag, whether it
    repeats, help).
    """
    lines = (
        f"{_json(path)}: {_json(entry)}" for path, entry in map(_entry, command_tree.commands())
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entry(ctx: Context) -> tuple[str, dict[str, Any]]:
    command, path = ctx.command, ctx.command_path.removeprefix(PROGRAM).strip()
    params = [param for param in command.get_params(ctx) if not getattr(param, "hidden", False)]
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
    value = None if param.is_flag else _value(path, param)
    for spelling in sorted(param.opts, key=len):  # of --help click gives them in any order
        yield spelling, (name, value, param.multiple, text)
    for spelling in param.secondary_opts:
        yield spelling, (name, None, False, f"The opposite of {param.opts[0]}.")


def _value(path: str, param: Parameter) -> Value:
    """The kind of a value, by its type or its metavar."""
    if choices := getattr(param.type, "choices", ()):  # an enumeration's
        return [str(getattr(choice, "value", choice)) for choice in choices]
    if choices := _CHOICES.get(param.name or ""):
        return choices
    metavar = (param.metavar or "").strip("[]").removesuffix("...")
    return OF_COMMAND.get((path, metavar)) or KINDS.get(metavar, FREE)


def _sentence(text: str | None) -> str:
    """The first sentence, without its full stop: more does not fit beside a word."""
    [first, *_] = re.split(r"(?<=[^.])\.(?:\s|$)|\n\n|  \[", text or "", maxsplit=1)
    return " ".join(first.split())


if __name__ == "__main__":
    emit(written())
