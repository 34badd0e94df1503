"""Download a Python from Debian's testing or unstable suite into a separate folder.

The machine's packages, sources and apt state do not change, and root is not needed. apt runs with a
separate state in which nothing is installed, so it downloads the interpreter with all dependencies,
including libc, and dpkg-deb unpacks them.

patchelf then sets the interpreter's loader and library path. A chroot would need root, mounts and the
rest of the machine: the tests start Prometheus, shells, tmux and node, and read /proc. A relocated
interpreter is an ordinary program: its virtual environments work in every shell, and its child
processes inherit no LD_LIBRARY_PATH.

Uses the standard library only and runs on Python 3.6 or later, like scripts/bootstrap.py.
"""

import fcntl
import glob
import os
import shutil
import subprocess
from contextlib import contextmanager

SUITES = ["testing", "unstable"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
WHEELS = "/usr/share/python-wheels"  # where Debian's ensurepip looks for pip


class UnavailableError(Exception):
    """No interpreter is available; the message says why."""


def fetch(version, root):
    """The path of Python ``version`` (``"3.14"``) in the folder ``root``; downloaded if it is missing.

    Takes about 20 s and 100 MB. An incomplete or moved folder is created again.
    Raises UnavailableError.
    """
    root = os.path.realpath(root)
    python = os.path.join(root, "usr", "bin", "python" + version)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    with _locked(root + ".lock"):
        if not _is_complete(root):
            _make(version, root, python)
    return python


def _make(version, root, python):
    work = root + ".apt"
    for each in (root, work):
        shutil.rmtree(each, ignore_errors=True)
    try:
        for package in download(version, _archive(), work):
            _run(["dpkg-deb", "-x", package, root], "cannot unpack " + os.path.basename(package))
        _relocate(version, root, python)
        _run([python, "-c", "import ctypes, sqlite3, ssl"], "it does not start")
        _run([python, "-m", "venv", os.path.join(work, "venv")], "it makes no environment")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    with open(_stamp(root), "w") as stamp:
        stamp.write(root)


def _is_complete(root):
    """Whether the folder is complete and was not moved: the stamp is written last and contains the path."""
    try:
        with open(_stamp(root)) as stamp:
            return stamp.read() == root
    except FileNotFoundError:
        return False


def _stamp(root):
    return os.path.join(root, ".complete")


@contextmanager
def _locked(path):
    """Hold a lock file, so that two simultaneous runs create the folder once."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---------------------------------------------------------------- apt


def _archive():
    """The address of the machine's Debian archive, as apt itself reports it."""
    for tool in ("apt-get", "apt-config", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"it is downloaded from Debian, and {tool} is not installed")
    listed = _run(["apt-get", "--print-uris", "update"], "apt-get cannot read its sources")
    addresses = [line.split("'")[1] for line in listed.splitlines() if "/dists/" in line]
    for address in addresses:
        archive = address.split("/dists/")[0]
        if archive.endswith("/debian"):
            return archive
    raise UnavailableError("it is downloaded from Debian, and apt's sources name no Debian archive")


def unpack(package, suite, root):
    """Unpack a package of ``suite`` with all dependencies into the folder ``root``, not relocated.

    Raises UnavailableError.
    """
    work = root + ".apt"
    try:
        for each in _download([package], [suite], _archive(), work):
            _run(["dpkg-deb", "-x", each, root], "cannot unpack " + os.path.basename(each))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def download(version, archive, work):
    """Download the interpreter's packages from the first suite that has them; returns their paths."""
    name = "python" + version
    return _download([name, name + "-venv", "patchelf"], SUITES, archive, work)


def _download(packages, suites, archive, work):
    reasons = []
    for suite in suites:
        shutil.rmtree(work, ignore_errors=True)
        apt = _apt_get(work, f"deb {_options()} {archive} {suite} main\n")
        try:
            _run([*apt, "update"], "apt-get update failed")
            _run([*apt, "--download-only", "install", *packages], packages[0])
        except UnavailableError as error:
            reasons.append(f"Debian {suite}: {error}")
        else:
            return sorted(glob.glob(os.path.join(work, "cache", "archives", "*.deb")))
    raise UnavailableError("; ".join(reasons))


def _options():
    """Options of the source line: one index, no translations, and the key of Debian's archives."""
    architecture = _run(["dpkg", "--print-architecture"], "dpkg failed").strip()
    signed = f"signed-by={KEYRING} " if os.path.exists(KEYRING) else ""
    return f"[{signed}arch={architecture} lang=none targets=Packages]"


def _apt_get(work, source):
    """An apt-get command with a separate state and separate sources, and the machine's network settings."""
    for each in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(work, each))
    files = {
        "status": "",  # nothing counts as installed, so apt downloads all dependencies
        "sources.list": source,
        "apt.conf": "".join(_settings(work)),
    }
    for name, text in files.items():
        with open(os.path.join(work, name), "w") as file:
            file.write(text)
    return ["env", "APT_CONFIG=" + os.path.join(work, "apt.conf"), "apt-get", "-qq", "-y"]


def _settings(work):
    """The lines of apt's configuration. The machine's configuration files and their hooks are not read."""
    dumped = _run(["apt-config", "dump"], "apt-config failed").splitlines(keepends=True)
    settings = {
        "Dir::State": work,
        "Dir::State::lists": os.path.join(work, "lists"),
        "Dir::State::status": os.path.join(work, "status"),
        "Dir::Cache": os.path.join(work, "cache"),
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::sourcelist": os.path.join(work, "sources.list"),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",  # as root, apt would otherwise switch to a user that cannot write to this folder
        "APT::Update::Error-Mode": "any",  # otherwise a failed update is only a warning
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Debug::NoLocking": "true",  # apt must not take the machine's lock
    }
    return [
        *(line for line in dumped if line.startswith("Acquire::")),
        *(f'{name} "{value}";\n' for name, value in settings.items()),
    ]


# ---------------------------------------------------------------- relocation


def _relocate(version, root, python):
    """Make the interpreter use the downloaded loader and libraries, and find its own pip."""
    loader = _only(os.path.join(root, "usr", "lib", "*", "ld*.so.[0-9]"))
    libraries = os.path.dirname(loader)
    # patchelf comes from the same suite and needs that suite's libc. Unlike a RUNPATH, an RPATH also
    # applies to the dependencies of extension modules.
    patchelf = [loader, "--library-path", libraries, os.path.join(root, "usr", "bin", "patchelf")]
    # patchelf 0.18 breaks the program when it sorts the headers.
    options = ["--no-sort", "--set-interpreter", loader, "--force-rpath", "--set-rpath", libraries]
    _run([*patchelf, *options, python], "patchelf failed")
    for path in glob.glob(os.path.join(root, "usr", "lib", "python" + version, "_sysconfig*")):
        if os.path.islink(path):
            continue  # to another of them
        with open(path) as file:
            text = file.read()
        with open(path, "w") as file:
            file.write(text.replace(WHEELS, root + WHEELS))


def _only(pattern):
    found = glob.glob(pattern)
    if len(found) != 1:
        raise UnavailableError(f"expected one {pattern}, found {len(found)}")
    return found[0]


def _run(command, failure):
    """The output of a command. Raises UnavailableError with ``failure`` and the command's last line."""
    environment = dict(os.environ, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")
    ran = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env=environment,
    )
    if ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.strip()] or [
            f"status {ran.returncode}"
        ]
        first = next((line for line in lines if line.startswith("E: ")), lines[-1])
        raise UnavailableError(failure + ": " + first.replace("E: ", "", 1))
    return ran.stdout
