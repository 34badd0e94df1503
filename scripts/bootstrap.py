"""Make a virtual environment on a machine that has a Python and perhaps nothing else.

    python3 scripts/bootstrap.py .venv

Standard library only, and any Python 3.6 may run it: it looks for one that qcfeed supports.
"""

import os
import shutil
import subprocess
import sys

import interpreters


def main(directory):
    python, version = choose()
    if _is_made(directory, version):
        return
    made = _make(python, directory)
    if made.returncode and install_venv(version):
        made = _make(python, directory)
    if made.returncode:
        sys.exit(
            f"{python} cannot make a virtual environment: {made.stdout}{made.stderr}\n"
            f"hint: sudo apt-get install python{version}-venv, then try again"
        )


def choose():
    """The interpreter to use and its version: the one that runs this, if qcfeed supports it."""
    supported = interpreters.supported()
    this = interpreters.describe(sys.executable)
    if this.is_standard and this.version in supported:
        return sys.executable, this.version
    for version in reversed(supported):
        python = interpreters.find_here(version)
        if python:
            return python, version
    if this.is_standard and interpreters.number(this.version) > interpreters.number(supported[-1]):
        print(f"Python {this.version}: qcfeed was tried with {_range(supported)}", file=sys.stderr)
        return sys.executable, this.version
    return _fetched(supported, _unsuited(this, supported))


def _unsuited(this, supported):
    """Why the interpreter that runs this is not used."""
    named = f"{sys.executable} is {sys.implementation.name} {this.version}"
    if this.is_standard:
        return f"{named}, qcfeed needs {supported[0]} or later"
    return f"{named}, not the standard build of CPython (with the GIL), which qcfeed needs"


def _fetched(supported, reason):
    """The newest that Debian's development suites have; leaves with what to install if none can be had."""
    print(f"{reason}: fetching another from Debian into .tools/", file=sys.stderr)
    failures = []
    for version in (supported[-1], supported[-2]):
        try:
            return interpreters.find(version), version
        except interpreters.UnavailableError as error:
            failures.append(f"no Python {version} was fetched: {error}")
    sys.exit(
        "\n".join(failures)
        + f"\nhint: install CPython {_range(supported)}, then `make PYTHON=python{supported[-1]} ...`"
    )


def _range(supported):
    return f"{supported[0]} to {supported[-1]}"


def _make(python, directory):
    return subprocess.run(
        [python, "-m", "venv", "--clear", directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def _is_made(directory, version):
    """Whether it is an environment of this version, with pip, whose interpreter still runs."""
    this = interpreters.describe(os.path.join(directory, "bin", "python"))
    return (
        this is not None
        and this.version == version
        and os.path.exists(os.path.join(directory, "bin", "pip"))
    )


def install_venv(version):
    """Debian keeps ensurepip in a package of its own; root may fetch it."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", f"python{version}-venv"]):
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
            return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
