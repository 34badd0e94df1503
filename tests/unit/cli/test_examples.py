"""Every example of every help page is one that the command line takes."""

from __future__ import annotations

import pytest
from typer._click.exceptions import UsageError

from qcfeed.cli import command_tree
from tests.support.cli_parser import parse
from tests.support.examples import arguments, examples


@pytest.mark.parametrize("line", dict.fromkeys(line for _, line in examples()))
def test_an_example_can_be_typed(line: str) -> None:
    assert parse(arguments(line)).startswith("qcfeed ")


@pytest.mark.parametrize(
    "line",
    ["qcfeed taks", "qcfeed tasks --by-locations", "qcfeed status extra", "qcfeed stacks -o xml"],
)
def test_an_example_that_does_not_parse_is_an_error(line: str) -> None:
    with pytest.raises(UsageError):
        parse(arguments(line))


def test_every_command_has_an_example() -> None:
    """A group's may be of its subcommands."""
    for ctx in list(command_tree.commands())[1:]:
        reached = {parse(arguments(line)) for path, line in examples() if path == ctx.command_path}
        assert any(each.startswith(ctx.command_path) for each in reached), ctx.command_path
