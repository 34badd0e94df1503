"""``qcfeed completion``: prints the script that lets a shell complete qcfeed's command line."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from qcfeed.cli.complete.scripts import SCRIPTS
from qcfeed.cli.context import examples, new_app
from qcfeed.cli.ui.render import emit

app = new_app()


class Shell(StrEnum):
    """The shells that completion is tested in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def script(shell: Shell) -> str:
    """The completion script for ``shell``; ``completions/`` has the same text."""
    return SCRIPTS[shell.value]


@app.command(
    epilog=examples(
        "qcfeed completion bash > ~/.local/share/bash-completion/completions/qcfeed",
        "qcfeed completion zsh > ~/.zfunc/_qcfeed",
        "qcfeed completion fish > ~/.config/fish/completions/qcfeed.fish",
    )
)
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the completion script for a shell.

    Redirect it to a file that the shell loads; see the examples.
    """
    emit(script(shell))
