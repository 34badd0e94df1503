"""What is generated and kept in the repository is what the commands would write now."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from qcfeed.cli import main, reference
from qcfeed.cli.complete import table, words
from qcfeed.cli.completion import Shell, script

ROOT = Path(__file__).parents[3]


def test_every_command_has_a_page_and_every_page_an_example() -> None:
    pages = dict(reference.pages())
    assert set(pages) == {
        "qcfeed", "qcfeed feeds cancel", *(f"qcfeed {name}" for name in main.COMMANDS),
        *(f"qcfeed tasks {name}" for name in main.load("tasks").commands),
    }  # fmt: skip
    for title, text in pages.items():
        assert title == "qcfeed" or f"Examples:\n    {title}" in text, title


@pytest.mark.skipif(
    not version("typer").startswith("0.28."), reason="docs/cli.md is written with Typer 0.28"
)
def test_cli_md_is_fresh() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference.reference(), (
        "run: python -m qcfeed.cli.reference > docs/cli.md"
    )


@pytest.mark.parametrize("shell", Shell)
def test_completions_are_fresh(shell: Shell) -> None:
    kept = (ROOT / "completions" / f"qcfeed.{shell}").read_text()
    assert kept == script(shell), f"run: qcfeed completion {shell} > completions/qcfeed.{shell}"


def test_what_a_tab_knows_is_fresh() -> None:
    """By what it says, not by its text: Typer's own words differ between its versions."""
    fresh: dict[str, object] = {}
    exec(table.written(), fresh)
    assert fresh["COMMANDS"] == words.COMMANDS, "run: make generate"
