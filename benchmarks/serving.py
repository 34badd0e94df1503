"""A `qcfeed serve` for a benchmark, in its own directories."""

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
    """``environment``: variables with which commands find the service as ``instance``."""

    environment: dict[str, str]
    instance: str
    pid: int

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return Path(self.environment["XDG_RUNTIME_DIR"]) / "qcfeed" / f"{self.instance}.sock"


@contextlib.contextmanager
def serving(home: str, instance: str, *args: str, ready: str = "  control") -> Iterator[Serving]:
    """Run ``qcfeed serve`` on a free port until the block ends; yields once it has printed ``ready``."""
    homes = dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), home)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QCFEED_")}
    # pip compiles an installed package but not an editable one, so the first run compiles it.
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
