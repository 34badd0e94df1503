"""The directory of the services' sockets. Imports nothing slow, for TAB completion."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own takes 5 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX = ".sock"
"""The suffix of a socket's file; the rest of the file's name is the instance."""


def runtime(env: Mapping[str, str]) -> str:
    """The directory of the sockets and the token: only this user can enter it, and a reboot empties it."""
    if given := env.get("XDG_RUNTIME_DIR"):
        return f"{given}/qcfeed"
    import tempfile  # takes 8 ms to import

    return f"{tempfile.gettempdir()}/qcfeed-{os.getuid()}"
