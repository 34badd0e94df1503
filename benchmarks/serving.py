"""A service of a benchmark's own, in directories of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

QCFEED = str(Path(sys.executable).with_name("qcfeed"))


@dataclass(frozen=True)
class Serving:
    """``environment``: in it commands find the service, under the name ``instance``."""

    environment: dict[str, str]
    instance: str
    pid: int

    @property
    def socket(self) -> Path:
        """Its control plane."""
        return Path(self.environment["XDG_RUNTIME_DIR"]) / "qcfeed" / f"{self.instance}.sock"


@contextlib.contextmanager
def serving(home: str, instance: str, *args: str, ready: str = "  control") -> Iterator[Serving]:
    """``qcfeed serve`` on a port of the kernel's choice, once it has said ``ready``, until the block ends."""
    homes = dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), home)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QCFEED_")}
    # pip leaves a package compiled, and an editable one not: the first run has to make up for it.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    environment = {**kept, **homes}
    command = [QCFEED, "--instance", instance, "serve", "--port", "0", "--no-monitor", *args]
    service = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert service.stderr is not None
        next(line for line in service.stderr if ready in line)
        yield Serving(environment, instance, service.pid)
    finally:
        service.terminate()
        service.communicate(timeout=20)
