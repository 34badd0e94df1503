"""Runs a command that cannot outlive its parent: ``launch.py PARENT COMMAND...``.

The kernel kills it when the parent dies, however it dies (PR_SET_PDEATHSIG in prctl(2); the setting is
kept by exec). This file is run on its own, with the standard library alone, so that it starts at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become ``command``. Ends at once if the parent has died already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    # The kernel sends no signal for a parent that had died before prctl was called.
    if os.getppid() != parent:
        sys.exit("the parent has ended")
    try:
        os.execvp(command[0], command)  # noqa: S606 - a program that the supervisor chose
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
