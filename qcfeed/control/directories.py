"""Where a service's socket is, for those who may import nothing that takes its time (a TAB)."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own takes 5 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX = ".sock"
"""An instance is the file of its name with this suffix."""


def runtime(env: Mapping[str, str]) -> str:
    """The directory of sockets and the token: of this user alone, gone after a reboot."""
    if given := env.get("XDG_RUNTIME_DIR"):
        return f"{given}/qcfeed"
    import tempfile  # it draws random names, and takes 8 ms to import

    return f"{tempfile.gettempdir()}/qcfeed-{os.getuid()}"
