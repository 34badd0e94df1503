"""Long output on a terminal goes through a pager, as git's does."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

from typer._click.globals import get_current_context

from qcfeed.cli.context import Options

_USUAL = "less"
_LESS = "FRX"
"""Options of less: end at once if all fits, pass colours on, leave the text on the screen."""


def show(text: str) -> bool:
    """Show ``text``, if it is longer than the terminal is high, in $QCFEED_PAGER, $PAGER or less.

    False if it must be written in the usual way: it is short, stdout or stdin is no terminal, or no pager
    is wanted (``--no-pager``, an empty variable, or ``cat``) or there.
    """
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        return False
    if sys.stdout is not sys.__stdout__:  # what is redrawn has a stream of its own
        return False
    if text.count("\n") < shutil.get_terminal_size()[1] or not (words := _words()):
        return False
    import subprocess  # imported here: most output is short

    environment = {"LESS": _LESS, **os.environ}
    try:
        subprocess.run(words, input=text.encode(), env=environment, check=False)  # noqa: S603
    except KeyboardInterrupt:  # less handles Ctrl-C itself
        return True
    except OSError:  # it is not installed
        return False
    return True


def _words() -> list[str]:
    """The command of the pager; empty for none."""
    ctx = get_current_context(silent=True)
    options = ctx.find_object(Options) if ctx is not None else None
    if options is not None and options.no_pager:
        return []
    wanted = os.environ.get("QCFEED_PAGER", os.environ.get("PAGER", _USUAL))
    words = shlex.split(wanted)
    return words if words and words[0] != "cat" and shutil.which(words[0]) else []
