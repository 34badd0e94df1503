"""Find the Pythons that qcfeed supports: `python3 scripts/interpreters.py 3.14` prints a path.

Checks the running interpreter, PATH and pyenv; if none fits, downloads Debian's into .tools/
(scripts/debian_python.py). Uses the standard library only and runs on Python 3.6 or later, like
scripts/bootstrap.py.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

from debian_python import UnavailableError, fetch

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOOLS = os.path.join(HOME, ".tools")

Interpreter = namedtuple("Interpreter", "version is_standard")
Interpreter.__doc__ += ": ``version`` as in '3.14'; whether it is CPython with a GIL."

_DESCRIBE = (
    "import sys, sysconfig; print('%d.%d' % sys.version_info[:2], sys.implementation.name,"
    " sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
)


def supported():
    """The versions in pyproject.toml's classifiers, oldest first. This is the only list of versions."""
    with open(os.path.join(HOME, "pyproject.toml"), encoding="utf-8") as file:
        found = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', file.read())
    return sorted(found, key=number)


def number(version):
    """``"3.14"`` as (3, 14), for comparisons."""
    return tuple(map(int, version.split(".")))


def describe(python):
    """The version and build of ``python``; None if it does not run."""
    try:
        ran = subprocess.run(
            [python, "-c", _DESCRIBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a pyenv shim without a chosen version prints an explanation
            universal_newlines=True,
        )
    except OSError:
        return None
    if ran.returncode:
        return None
    version, implementation, without_gil = ran.stdout.split()
    return Interpreter(version, implementation == "cpython" and without_gil == "0")


def find_here(version):
    """The path of an installed Python ``version``; None if there is none."""
    for python in _candidates(version):
        if describe(python) == Interpreter(version, is_standard=True):
            return python
    return None


def find(version):
    """The path of a Python ``version``, downloaded if necessary. Raises UnavailableError."""
    return find_here(version) or fetch(version, os.path.join(TOOLS, "python" + version))


def _candidates(version):
    on_path = shutil.which("python" + version)
    return [sys.executable, *([on_path] if on_path else []), *_pyenv(version)]


def _pyenv(version):
    """pyenv's releases of a version, newest first. ``3.13.0t`` is a free-threaded build and is left out."""
    versions = os.path.join(
        os.environ.get("PYENV_ROOT") or os.path.join(os.path.expanduser("~"), ".pyenv"), "versions"
    )
    pattern = re.compile(re.escape(version) + r"\.(\d+)")
    found = [pattern.fullmatch(name) for name in _listed(versions)]
    newest = sorted((each for each in found if each), key=lambda each: -int(each.group(1)))
    return [os.path.join(versions, each.group(), "bin", "python") for each in newest]


def _listed(directory):
    return os.listdir(directory) if os.path.isdir(directory) else []


if __name__ == "__main__":
    try:
        print(find(*sys.argv[1:]))
    except UnavailableError as error:
        sys.exit(f"Python {sys.argv[1]}: {error}")
