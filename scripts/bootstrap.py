"""Create a virtual environment on a machine that may have only a Python interpreter.

    python3 scripts/bootstrap.py .venv

Uses the standard library only and runs on Python 3.6 or later: it finds a Python that qcfeed supports.
"""

import os
import shutil
import subprocess
import sys

import interpreters


def main(directory):
    python, version = choose()
    if is_made(directory, version):
        return
    made = _make(python, directory)
    if made.returncode and install_venv(version):
        made = _make(python, directory)
    if made.returncode:
        sys.exit(
            f"{python} cannot create a virtual environment: {made.stdout}{made.stderr}\n"
            f"hint: sudo apt-get install python{version}-venv, then try again"
        )


def choose():
    """The interpreter to use and its version: the running interpreter, if qcfeed supports it."""
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
    """Why the running interpreter is not used."""
    named = f"{sys.executable} is {sys.implementation.name} {this.version}"
    if this.is_standard:
        return f"{named}, qcfeed needs {supported[0]} or later"
    return f"{named}, not the standard build of CPython (with the GIL), which qcfeed needs"


def _fetched(supported, reason):
    """The newest supported interpreter of Debian's development suites. Exits with a hint if there is none."""
    print(f"{reason}: downloading another from Debian into .tools/", file=sys.stderr)
    failures = []
    for version in (supported[-1], supported[-2]):
        try:
            return interpreters.find(version), version
        except interpreters.UnavailableError as error:
            failures.append(f"Python {version} could not be downloaded: {error}")
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


def is_made(directory, version):
    """Whether ``directory`` is an environment of this version with pip and a working interpreter."""
    this = interpreters.describe(os.path.join(directory, "bin", "python"))
    return (
        this is not None
        and this.version == version
        and os.path.exists(os.path.join(directory, "bin", "pip"))
    )


def install_venv(version):
    """Install ensurepip, which Debian has in a separate package, if running as root."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", f"python{version}-venv"]):
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
            return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
