"""The ``[y/N]`` prompt before an action that other people would notice."""

from __future__ import annotations

import sys

from qcfeed.errors import NeedsConfirmationError
from qcfeed.formats import printable
from qcfeed.streams import write_message


def confirm(action: str, *, hint: str, refused: str) -> None:
    """Ask ``action? [y/N]`` on stderr and return if the answer is yes.

    Raises NeedsConfirmationError with ``refused`` for any other answer; and, without asking, when
    stdin or stderr is not a terminal: ``hint`` then says which option does it without a prompt.
    """
    if not can_ask():
        raise NeedsConfirmationError(f"this would {action}", hint=f"nothing was done; {hint}")
    if not agreed(action):
        raise NeedsConfirmationError(refused)


def can_ask() -> bool:
    """Whether there is a person to ask: stdin and stderr are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(action: str) -> bool:
    """Ask ``action? [y/N]`` on stderr; anything but yes is no."""
    write_message(f"{printable(action)}? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
