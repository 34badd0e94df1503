"""The machine, and the versions of the peers. Figures mean little without them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

_BESIDE = str(Path(sys.executable).parent)
"""Where packages such as nats-server's put executables in a virtual environment."""
_DISTRIBUTIONS = ("aiohttp", "websockets", "picows", "starlette", "uvicorn", "uvloop", "httptools")


def describe() -> dict[str, str]:
    """Processor, kernel, Python, and the version of every available peer."""
    return {
        "processor": f"{os.cpu_count()} x {_processor()}",
        "load": f"{os.getloadavg()[0]:.1f} before the run",
        "cores": _cores_used(),
        "kernel": platform.release().partition("-")[0],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the available peers."""
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commands = {"nats-server": "--version", "node": "--version", "gcc": "-dumpfullversion"}
    for name, flag in commands.items():
        if program := shutil.which(name) or shutil.which(name, path=_BESIDE):
            run = subprocess.run([program, flag], capture_output=True, text=True, check=False)
            found[name] = run.stdout.strip().rpartition(" ")[2].removeprefix("v")
    return found


def cores(*, any_core: bool = False) -> tuple[set[int], set[int]]:
    """Where servers and readers run: on one core each if there are two, otherwise anywhere."""
    usable = sorted(os.sched_getaffinity(0))
    apart = len(usable) > 1 and not any_core
    return ({usable[0]}, {usable[-1]}) if apart else (set(usable), set(usable))


def _cores_used() -> str:
    server, readers = (", ".join(map(str, sorted(each))) for each in cores())
    return f"servers on {server}, readers on {readers}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()
