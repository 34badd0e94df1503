"""The C programs, compiled when they are needed: the readers, and the limit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent
_SOURCES = {
    "readers": sorted(_HERE.glob("readers/*.c")),
    "limit": [_HERE / "servers" / "limit.c"],
}


def compiler() -> str | None:
    """A C compiler; None where there is none."""
    return shutil.which("gcc") or shutil.which("cc")


def build(name: str, directory: Path) -> Path:
    """Compile ``name`` into ``directory``. Raises CalledProcessError with the compiler's output."""
    program = directory / name
    command = [compiler() or "cc", "-O2", "-Wall", "-Wextra", "-o", program, *_SOURCES[name]]
    subprocess.run(command, check=True)
    return program
