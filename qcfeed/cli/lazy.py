"""A command group that lists its commands without importing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typer._click import Command, Context
from typer.core import TyperCommand, TyperGroup


class LazyGroup(TyperGroup):
    """Lists commands from a table; ``load`` imports the one that is called.

    Startup time: importing all commands would take several times as long as running one.
    """

    listed: ClassVar[Mapping[str, str]]
    """The short help of every command, by name."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, short_help=short) for name, short in self.listed.items()
        }

    def load(self, name: str) -> Command:
        """The command of this name, imported now."""
        raise NotImplementedError

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if name and listed else None, rest
