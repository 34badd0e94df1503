"""A group of commands that knows their names and short helps, and imports the one that is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typer._click import Command, Context
from typer.core import TyperCommand, TyperGroup


class LazyGroup(TyperGroup):
    """Lists commands without importing them; ``load`` imports the one that is called."""

    listed: ClassVar[Mapping[str, str]]
    """Every command by name, and its short help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, short_help=short) for name, short in self.listed.items()
        }

    def load(self, name: str) -> Command:
        """The command itself."""
        raise NotImplementedError

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, self.load(name) if name and listed else None, rest
