"""``qcfeed completion``: prints the script that lets a shell complete qcfeed's command line."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qcfeed import files
from qcfeed.cli import output_files
from qcfeed.cli.complete.scripts import SCRIPTS
from qcfeed.cli.context import examples, new_app, say
from qcfeed.cli.ui.render import emit
from qcfeed.errors import UsageError

app = new_app()


class Shell(StrEnum):
    """The shells that completion is tested in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def script(shell: Shell) -> str:
    """The completion script for ``shell``; ``completions/`` has the same text."""
    return SCRIPTS[shell.value]


PLACES = {
    Shell.BASH: "~/.local/share/bash-completion/completions/qcfeed",
    Shell.ZSH: "~/.zfunc/_qcfeed",
    Shell.FISH: "~/.config/fish/completions/qcfeed.fish",
}
"""Where each shell looks for a user's completion scripts; zsh if its ``fpath`` has the directory."""


@app.command(
    epilog=examples(
        "qcfeed completion bash --install    # where bash looks for it",
        "qcfeed completion bash > ~/.local/share/bash-completion/completions/qcfeed",
        "qcfeed completion zsh > ~/.zfunc/_qcfeed",
        "qcfeed completion fish > ~/.config/fish/completions/qcfeed.fish",
    )
)
def completion(
    shell: Annotated[
        str, typer.Argument(metavar="SHELL", help="bash, zsh or fish; or `install` for $SHELL.")
    ],
    install: Annotated[
        bool, typer.Option("--install", help="Write it where the shell looks for it.")
    ] = False,
    force: output_files.Force = False,
) -> None:
    """Print the completion script for a shell.

    Redirect it to a file that the shell loads, or let --install write it; see the examples.

    Exit status: 0; 6 if the file exists with other content and --force is not given.
    """
    if shell == "install":
        shell, install = Path(os.environ.get("SHELL", "")).name, True
    if shell not in tuple(Shell):
        raise UsageError(f"{shell!r} is not bash, zsh or fish", hint="`qcfeed completion bash`")
    if install:
        _install(Shell(shell), force=force)
    else:
        emit(script(Shell(shell)))


def _install(shell: Shell, *, force: bool) -> None:
    path = files.expand(PLACES[shell])
    content = script(shell).encode()
    if path.is_file() and path.read_bytes() == content:
        say(f"unchanged: {path}")
        return
    output_files.make_directory(path.parent)
    output_files.write(path, content, force=force, mode=output_files.PUBLIC)
    say(f"wrote {path}; a new shell loads it")
    if shell is Shell.ZSH:
        say(f"  next: ~/.zshrc needs `fpath+=({path.parent})` before `compinit`")
