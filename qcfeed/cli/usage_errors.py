"""What is wrong with a command line, in words for its user; and one that can be put right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from typer._click import Command, Context
from typer._click.exceptions import BadParameter, ClickException, NoSuchOption, UsageError
from typer.core import TyperGroup

from qcfeed.cli.target import PROGRAM
from qcfeed.closest import closest

_NOT_GLOBAL = frozenset(("--help", "--version", "-h"))
_KINDS = {"int": "a whole number", "float": "a number"}
_KIND = re.compile(r"is not a valid (int|float)( range)?")
_EXTRA = re.compile(r"Got unexpected extra argument(?:s|\(s\))? \((.+)\)")
_NO_COMMAND = re.compile(r"No such command '([^']+)'$")


def in_front(args: Sequence[str], error: NoSuchOption, program: Command) -> list[str] | None:
    """The command line with the global option that the command does not have in front of the command.

    ``qcfeed status -i prod`` is ``qcfeed -i prod status``. None if it is no global option.
    """
    name = error.option_name
    known = {word: param for param in program.params for word in param.opts}
    if name in _NOT_GLOBAL or name not in known or error.ctx is None or error.ctx.parent is None:
        return None
    for at, word in enumerate(args):
        if word == "--":
            return None
        if at and (word == name or word.startswith(f"{name}=")):
            alone = "=" in word or getattr(known[name], "is_flag", False)
            end = at + (1 if alone else 2)
            return [*args[at:end], *args[:at], *args[end:]]
    return None


def message(error: ClickException) -> str:
    """What is wrong, without a full stop."""
    text = _EXTRA.sub(r"unexpected argument: \1", error.format_message())
    if isinstance(error, NoSuchOption) and error.possibilities:
        close = difflib.get_close_matches(error.option_name, error.possibilities, n=1, cutoff=0.0)
        text = f"{error.message}. Did you mean {close[0]}?"
    elif isinstance(error, BadParameter):
        text = _KIND.sub(lambda match: f"is not {_KINDS[match[1]]}", text)
        kind = getattr(error.param, "type", None)
        choices = [str(getattr(each, "value", each)) for each in getattr(kind, "choices", ())]
        given = re.search(r"'([^']*)' is not one of", text)
        if given and (close := closest(given[1], choices)):
            text = f"{text.removesuffix('.')}. Did you mean '{close[0]}'?"
    return text.removesuffix(".")


def hint(error: ClickException) -> str | None:
    """What to type instead."""
    ctx = error.ctx if isinstance(error, UsageError) else None
    if ctx is None:
        return None
    command = words(ctx)
    if isinstance(error, NoSuchOption):
        name = error.option_name
        if not ctx.parent and name in ("-o", "--output"):
            return f"{name} goes after the command: `{PROGRAM} COMMAND {name} ...`"
    help_ = f"see `{' '.join(filter(None, (PROGRAM, command)))} --help`"
    named = _NO_COMMAND.match(error.format_message().removesuffix("."))
    if named and isinstance(ctx.command, TyperGroup) and "show" in ctx.command.commands:
        return f"`{PROGRAM} {command} show {named[1]}` shows one; {help_}"
    if named and ctx.parent is None and (meant := _within(named[1])):
        return f"it belongs to another command: `{PROGRAM} {meant}`; {help_}"
    return help_


def _within(name: str) -> str:
    """The one command that has this subcommand, with it; empty if there is none, or are several."""
    from qcfeed.cli.complete.answer import commands  # imported here: only for errors

    found = [path for path in commands() if path.endswith(f" {name}")]
    return found[0] if len(found) == 1 else ""


def words(ctx: Context) -> str:
    """The command without the program name: ``tasks verify``; empty if there is none."""
    if ctx.parent is None:
        return ""
    return f"{words(ctx.parent)} {ctx.info_name}".strip()
