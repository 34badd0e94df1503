"""Run the suite on every interpreter of 3.11 to 3.13 that this machine has.

make test-all ARGS='-x -q'
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")


def find(version: str) -> str | None:
    """The interpreter on the path, or the newest of pyenv's."""
    if shutil.which(f"python{version}"):
        answers = subprocess.run(
            [f"python{version}", "--version"], capture_output=True, check=False
        )
        if answers.returncode == 0:  # pyenv's shims exist for versions that are not chosen
            return f"python{version}"
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(root.glob(f"versions/{version}.*/bin/python"))
    return str(found[-1]) if found else None


def main(arguments: list[str]) -> int:
    results = {}
    for version in VERSIONS:
        python = find(version)
        if python is None:
            results[version] = "not here"
            continue
        directory = f".venv-{version}"
        pip = [f"{directory}/bin/python", "-m", "pip", "install", "--quiet", "--editable"]
        subprocess.run([python, "-m", "venv", directory], check=True)
        subprocess.run([*pip, ".[test,dev]"], check=True)
        ran = subprocess.run([f"{directory}/bin/python", "-m", "pytest", *arguments], check=False)
        results[version] = "passed" if ran.returncode == 0 else "FAILED"
    for version, result in results.items():
        print(f"Python {version}: {result}")
    return 1 if "FAILED" in results.values() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
