"""What is generated and kept in the repository is what the commands would write now."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.core import TyperGroup

from qcfeed.cli import main, reference
from qcfeed.cli.complete import answer, words
from qcfeed.cli.completion import Shell, script
from qcfeed.cli.manual import manual

ROOT = Path(__file__).parents[3]


def test_every_command_has_a_page_and_every_page_an_example() -> None:
    pages = dict(reference.pages())
    groups = [name for name in main.COMMANDS if isinstance(main.load(name), TyperGroup)]
    assert set(pages) == {
        "qcfeed",
        *(f"qcfeed {name}" for name in main.COMMANDS),
        *(f"qcfeed {name} {inner}" for name in groups for inner in main.load(name).commands),
    }
    assert groups
    for title, text in pages.items():
        assert title == "qcfeed" or f"Examples:\n    {title}" in text, title


written_with_typer_0_28 = pytest.mark.skipif(
    not version("typer").startswith("0.28."), reason="it is written with Typer 0.28"
)


@written_with_typer_0_28
def test_cli_md_is_fresh() -> None:
    assert (ROOT / "docs" / "reference" / "cli.md").read_text() == reference.reference(), (
        "run: python -m qcfeed.cli.reference > docs/reference/cli.md"
    )


@written_with_typer_0_28
def test_the_manual_is_fresh() -> None:
    assert (ROOT / "man" / "qcfeed.1").read_text() == manual(), "run: make generate"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_is_one_that_groff_has_nothing_against(tmp_path: Path) -> None:
    def complaints(text: str) -> str:
        page = tmp_path / "page.1"
        page.write_text(text)
        command = ["groff", "-ww", "-man", "-Tascii", page]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    text = manual()
    assert text.isascii()
    assert complaints(text) == ""
    assert complaints(text.replace(".EE", ".EEE")) != ""


@pytest.mark.parametrize("shell", Shell)
def test_completions_are_fresh(shell: Shell) -> None:
    kept = (ROOT / "completions" / f"qcfeed.{shell}").read_text()
    assert kept == script(shell), f"run: qcfeed completion {shell} > completions/qcfeed.{shell}"


def test_the_completion_table_is_up_to_date() -> None:
    """By what it says, not by its text: Typer's own words differ between its versions."""
    assert json.loads(words.words()) == answer.commands(), "run: make generate"
