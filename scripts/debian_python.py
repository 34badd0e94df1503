"""Fetch a Python from Debian's testing or unstable suite into a folder of its own.

The machine's own packages, sources and apt state are not touched, and root is not needed: apt runs
with a state of its own, in which nothing is installed, downloads the interpreter with all it needs,
libc included, and dpkg-deb unpacks that.

The interpreter is then told where its loader and libraries are (patchelf). A chroot would need root
and mounts, and would need the rest of the machine in it: the suite starts Prometheus, shells, tmux
and node, and looks into /proc. A relocated interpreter is a program like any other, a virtual
environment made from it works in every shell, and no LD_LIBRARY_PATH reaches what it starts.

Standard library only, and any Python 3.6 may run it, as scripts/bootstrap.py.
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
    """An interpreter cannot be had here; the message says why."""


def fetch(version, root):
    """The path of Python ``version`` (``"3.14"``) in the folder ``root``, fetched unless it is there.

    Takes about 20 s and 100 MB. A folder that was left half done, or that was moved, is made again.
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
        for package in _download(version, _archive(), work):
            _run(["dpkg-deb", "-x", package, root], "cannot unpack " + os.path.basename(package))
        _relocate(version, root, python)
        _run([python, "-c", "import ctypes, sqlite3, ssl"], "it does not start")
        _run([python, "-m", "venv", os.path.join(work, "venv")], "it makes no environment")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    with open(_stamp(root), "w") as stamp:
        stamp.write(root)


def _is_complete(root):
    """The stamp is written last, and the interpreter has the folder's own path inside."""
    try:
        with open(_stamp(root)) as stamp:
            return stamp.read() == root
    except FileNotFoundError:
        return False


def _stamp(root):
    return os.path.join(root, ".complete")


@contextmanager
def _locked(path):
    """Two runs at once make one folder."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---------------------------------------------------------------- apt


def _archive():
    """The address of the machine's own Debian archive, whichever way its sources are written."""
    for tool in ("apt-get", "apt-config", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"it is fetched from Debian, and there is no {tool} here")
    listed = _run(["apt-get", "--print-uris", "update"], "apt-get cannot read its sources")
    addresses = [line.split("'")[1] for line in listed.splitlines() if "/dists/" in line]
    for address in addresses:
        archive = address.split("/dists/")[0]
        if archive.endswith("/debian"):
            return archive
    raise UnavailableError(
        "it is fetched from Debian, and apt's sources here name no Debian archive"
    )


def _download(version, archive, work):
    """The packages' paths, from the first suite that has them."""
    name = "python" + version
    reasons = []
    for suite in SUITES:
        shutil.rmtree(work, ignore_errors=True)
        apt = _apt_get(work, f"deb {_options()} {archive} {suite} main\n")
        try:
            _run([*apt, "update"], "apt-get update failed")
            _run([*apt, "--download-only", "install", name, name + "-venv", "patchelf"], name)
        except UnavailableError as error:
            reasons.append(f"Debian {suite}: {error}")
        else:
            return sorted(glob.glob(os.path.join(work, "cache", "archives", "*.deb")))
    raise UnavailableError("; ".join(reasons))


def _options():
    """One index and no translations; the key that Debian's archives are signed with."""
    architecture = _run(["dpkg", "--print-architecture"], "dpkg failed").strip()
    signed = f"signed-by={KEYRING} " if os.path.exists(KEYRING) else ""
    return f"[{signed}arch={architecture} lang=none targets=Packages]"


def _apt_get(work, source):
    """apt-get with a state and sources of its own; of the machine's settings, those of the network."""
    for each in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(work, each))
    files = {
        "status": "",  # nothing is installed, so all that the interpreter needs is fetched
        "sources.list": source,
        "apt.conf": "".join(_settings(work)),
    }
    for name, text in files.items():
        with open(os.path.join(work, name), "w") as file:
            file.write(text)
    return ["env", "APT_CONFIG=" + os.path.join(work, "apt.conf"), "apt-get", "-qq", "-y"]


def _settings(work):
    """The lines of apt's configuration. The machine's own files, with the hooks in them, are not read."""
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
        "APT::Sandbox::User": "",  # root downloads as itself, into a folder that is its own
        "APT::Update::Error-Mode": "any",  # else a failed update is a warning
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Debug::NoLocking": "true",  # the machine's lock is not ours to take
    }
    return [
        *(line for line in dumped if line.startswith("Acquire::")),
        *(f'{name} "{value}";\n' for name, value in settings.items()),
    ]


# ---------------------------------------------------------------- relocation


def _relocate(version, root, python):
    """Make the interpreter use the loader and libraries beside it, and find its own pip."""
    loader = _only(os.path.join(root, "usr", "lib", "*", "ld*.so.[0-9]"))
    libraries = os.path.dirname(loader)
    # patchelf is of the same suite, and needs that suite's libc. An RPATH, unlike a RUNPATH, is also
    # searched for what the extension modules need.
    patchelf = [loader, "--library-path", libraries, os.path.join(root, "usr", "bin", "patchelf")]
    # Sorting the headers, patchelf 0.18 breaks the program.
    told = ["--no-sort", "--set-interpreter", loader, "--force-rpath", "--set-rpath", libraries]
    _run([*patchelf, *told, python], "patchelf failed")
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
    """What a command printed. Raises UnavailableError with ``failure`` and its last words."""
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
        said = [line for line in ran.stderr.splitlines() if line.strip()] or [
            f"status {ran.returncode}"
        ]
        first = next((line for line in said if line.startswith("E: ")), said[-1])
        raise UnavailableError(failure + ": " + first.replace("E: ", "", 1))
    return ran.stdout
