"""What holds for all commands alike: their options, and how these are told."""

from __future__ import annotations

import pytest
from typer._click import Context
from typer.core import TyperOption

from qcfeed import config
from qcfeed.cli import command_tree, prometheus, reference
from qcfeed.cli.flags import described

from .conftest import Left

LIST = {"--sort-by", "--limit", "--no-headers", "--jq", "--watch"}
"""What every list has; the options that select rows depend on what a row has."""
ONE_THING = {
    "attach", "detach", "diagnose", "drill start", "drill stop", "explain", "feeds cancel", "feeds show",
    "keys add", "report", "repro", "stacks", "subscribers kick", "subscribers show", "tasks cancel",
    "tasks show", "tasks verify", "version", "watch",
}  # fmt: skip
"""The commands with -o that do not list: an answer about one thing, the outcome of an action, or quotes."""
NO_JSON_DOCUMENT = {"report", "watch"}
"""Those of them that print documents, or one line of JSON per quote."""
FOLLOWS = {"logs"}
"""Has --follow in place of --watch."""


def described_commands() -> dict[str, Context]:
    return {
        each.command_path.removeprefix("qcfeed").strip(): each for each in command_tree.commands()
    }


def spellings(ctx: Context) -> set[str]:
    return {word for param in ctx.command.get_params(ctx) for word in param.opts}


def test_every_list_has_the_same_options_and_every_answer_has_jq() -> None:
    commands = {
        name: spellings(ctx)
        for name, ctx in described_commands().items()
        if "--output" in spellings(ctx)
    }
    assert commands.keys() >= ONE_THING
    for name, has in commands.items():
        wanted = LIST - {"--watch"} if name in FOLLOWS else LIST
        if name in ONE_THING:
            wanted = set() if name in NO_JSON_DOCUMENT else {"--jq"}
        assert has >= wanted, f"{name} lacks {wanted - has}"


def test_a_short_flag_means_the_same_in_every_command() -> None:
    meanings: dict[str, set[str]] = {}
    for ctx in described_commands().values():
        for param in ctx.command.get_params(ctx):
            long = next((word for word in param.opts if word.startswith("--")), "")
            for word in param.opts:
                if word.startswith("-") and not word.startswith("--"):
                    meanings.setdefault(word, set()).add(long)
    assert meanings.keys() >= {"-i", "-c", "-q", "-v", "-o", "-h", "-l", "-f", "-y"}
    assert [(word, longs) for word, longs in meanings.items() if len(longs) > 1] == []


def test_the_options_for_prometheus_are_told_once(qcfeed_) -> None:
    others = [each for each in prometheus.declared()[1:] if not each.secret]
    assert len(others) >= 9
    takers = 0
    for name, ctx in described_commands().items():
        if others[0].flag not in spellings(ctx):
            continue
        takers += 1
        shown = ctx.command.get_help(ctx)
        assert [each.flag for each in others if f"{each.flag} " in shown] == [], name
        if name != "config show":  # which shows no flag of its own
            assert "qcfeed explain prometheus" in " ".join(shown.split())
    assert takers >= 6
    told: Left = qcfeed_("explain", "prometheus", "-o", "json")
    page = reference.reference()
    for each in prometheus.declared():
        assert described(each) in told.out, each.name
        assert page.count(f"| `{each.name if each.secret else each.flag}` |") == 1
        assert each.help in page


@pytest.mark.parametrize("option", config.all_options()[::12], ids=lambda each: each.name)
def test_every_option_is_explained(qcfeed_, option) -> None:
    left: Left = qcfeed_("explain", option.name, "-o", "json")
    assert left.status == 0
    assert option.variable in left.out
    assert qcfeed_("explain", "--", option.flag).status == 0


def test_hidden_options_are_completed() -> None:
    ctx = described_commands()["growth"]
    hidden = [p for p in ctx.command.get_params(ctx) if isinstance(p, TyperOption) and p.hidden]
    assert hidden
    from qcfeed.cli.complete.words import words

    assert all(f'"{param.opts[0]}"' in words() for param in hidden)
