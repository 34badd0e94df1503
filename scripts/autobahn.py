"""Install Autobahn's TestSuite into a folder: `python scripts/autobahn.py .tools/autobahn`.

The suite on PyPI is written for Python 2.7, which Debian's bullseye was the last release to have. apt
downloads that interpreter and pip the suite's libraries, as wheels; neither needs root nor changes the
machine. FOLDER/wstest runs it. Takes 30 s and 150 MB.
"""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import debian_python

SUITE = "bullseye"
WHEELS = (
    "Automat==20.2.0", "Jinja2==2.11.3", "MarkupSafe==1.1.1", "PyHamcrest==1.9.0", "Twisted==20.3.0",
    "attrs==21.4.0", "cffi==1.15.1", "constantly==15.1.0", "cryptography==3.3.2", "enum34==1.1.10",
    "hyperlink==21.0.0", "idna==2.10", "incremental==21.3.0", "ipaddress==1.0.23", "pyOpenSSL==21.0.0",
    "pycparser==2.21", "setuptools==44.1.1", "six==1.17.0", "txaio==2.10.0", "typing==3.10.0.0",
    "zope.interface==5.4.0",
)  # fmt: skip
SOURCES = ("autobahn==0.10.9", "autobahntestsuite==25.10.1")
"""Pure Python, the same for Python 2 and 3, so any pip can unpack them."""
FOR_PYTHON_2 = (
    "--ignore-requires-python", "--only-binary=:all:", "--implementation=cp", "--abi=cp27mu",
    "--python-version=2.7", "--platform=manylinux1_x86_64", "--platform=manylinux2010_x86_64",
)  # fmt: skip

# The serializer is for another protocol, and needs further libraries.
PROGRAM = """\
import os, site, sys, types
site.addsitedir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "libraries"))
import txaio
txaio.use_twisted()
sys.modules["autobahntestsuite.serializer"] = types.ModuleType("serializer")
from autobahntestsuite.wstest import run
run()
"""
LAUNCHER = """\
#!/bin/sh
# The interpreter with the loader and libraries of its own release.
here=$(dirname "$(realpath "$0")")
root=$here/debian
export PYTHONHOME=$root/usr PYTHONPATH=$here/suite
exec "$root/lib/x86_64-linux-gnu/ld-2.31.so" \\
  --library-path "$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu" \\
  "$root/usr/bin/python2.7" -W ignore "$here/wstest.py" "$@"
"""


def install(folder):
    """Install everything anew. Raises UnavailableError."""
    if platform.machine() != "x86_64":
        raise debian_python.UnavailableError("its libraries have wheels for x86_64 only")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    debian_python.unpack("python2.7", SUITE, str(folder / "debian"))
    _pip(folder / "libraries", *FOR_PYTHON_2, *WHEELS)
    _pip(folder / "suite", *SOURCES)
    (folder / "wstest.py").write_text(PROGRAM)
    launcher = folder / "wstest.new"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    _run([launcher, "--autobahnversion"])
    launcher.rename(folder / "wstest")  # last: its presence says that the folder is complete


def _pip(target, *arguments):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--no-deps", "--no-compile", "--target", target, *arguments])


def _run(command):
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        lines = ran.stderr.strip().splitlines() or [f"status {ran.returncode}"]
        raise debian_python.UnavailableError(lines[-1])


def main():
    folder = Path(sys.argv[1]).resolve()
    if (folder / "wstest").exists():
        return
    try:
        install(folder)
    except debian_python.UnavailableError as error:
        sys.exit(f"could not install Autobahn's TestSuite: {error}")


if __name__ == "__main__":
    main()
