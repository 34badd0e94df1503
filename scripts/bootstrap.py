"""Make a virtual environment on a machine that has a Python and perhaps nothing else.

    python3 scripts/bootstrap.py .venv

Standard library only, and any Python 3 may run it: it looks for one that qcfeed can use.
"""

import os
import shutil
import subprocess
import sys

USABLE = ["python3.13", "python3.12", "python3.11"]
OLDEST = (3, 11)


def main(directory):
    python = find_python()
    if os.path.exists(os.path.join(directory, "bin", "pip")):
        return
    made = subprocess.run(
        [python, "-m", "venv", "--clear", directory], capture_output=True, text=True
    )
    if made.returncode and install_venv(python):
        made = subprocess.run(
            [python, "-m", "venv", "--clear", directory], capture_output=True, text=True
        )
    if made.returncode:
        version = subprocess.check_output([python, "-c", VERSION], text=True).strip()
        sys.exit(
            f"{python} cannot make a virtual environment: {made.stdout}{made.stderr}\n"
            f"hint: sudo apt-get install python3-venv (or python{version}-venv), then try again"
        )


VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def find_python():
    if sys.version_info >= OLDEST:
        return sys.executable
    for name in USABLE:
        if shutil.which(name):
            return name
    sys.exit(
        f"python3 is {sys.version.split()[0]}, qcfeed needs 3.11 or later\n"
        "hint: sudo apt-get install python3.11 python3.11-venv, then `make PYTHON=python3.11 ...`"
    )


def install_venv(python):
    """Debian keeps ensurepip in a package of its own; root may fetch it."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    version = subprocess.check_output([python, "-c", VERSION], text=True).strip()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", f"python{version}-venv"]):
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
            return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
