"""``qcfeed completion``: the script that makes a shell ask us what a TAB could mean."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from qcfeed.cli.complete.scripts import SCRIPTS
from qcfeed.cli.context import examples, new_app
from qcfeed.cli.ui.render import emit

app = new_app()


class Shell(StrEnum):
    """Shells that completion was tried in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def script(shell: Shell) -> str:
    """The completion script of ``shell``; the same text as in ``completions/``."""
    return SCRIPTS[shell.value]


@app.command(
    epilog=examples(
        "qcfeed completion bash > ~/.local/share/bash-completion/completions/qcfeed",
        "qcfeed completion zsh > ~/.zfunc/_qcfeed",
        "qcfeed completion fish > ~/.config/fish/completions/qcfeed.fish",
    )
)
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="The shell to complete in.")],
) -> None:
    """Print the completion script of a shell."""
    emit(script(shell))
