"""What /proc says about a process, and why it cannot be attached to (proc(5))."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from pathlib import Path
from typing import NamedTuple

from qcfeed.diagnostics import interpreter
from qcfeed.errors import (
    NotAllowedError,
    UnreachableError,
    UnsupportedInterpreterError,
    UsageError,
    not_found,
)
from qcfeed.inject import runtime
from qcfeed.inject.runtime import Runtime

_CAP_SYS_PTRACE = 19
_PTRACE_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
_VERSION = re.compile(r"(?:^|/)(?:lib)?python(\d)\.(\d+)[^/]*(?:/|$)", re.MULTILINE)
_NAMESPACES = {"pid": "process ids", "mnt": "the file system"}
"""Namespaces that we must share with the process, and what they separate."""


class TargetProcess(NamedTuple):
    """A process that can be asked to run a script. ``command``: its command line, for people."""

    pid: int
    uid: int
    command: str
    runtime: Runtime

    def __str__(self) -> str:
        version = ".".join(map(str, self.runtime.version))
        return f"process {self.pid} (Python {version}: {self.command})"


def target(pid: int) -> TargetProcess:
    """The process ``pid``.

    Raises NotFoundError if there is none, UnreachableError if it cannot react, NotAllowedError if the kernel
    or another tracer forbids it, and UsageError if it is not a Python that can run a script on request.
    """
    status = _status(pid)
    uid = int(status["Uid"].split()[1])  # the effective user
    _check_thread(pid, status)
    _check_user(pid, uid)
    _check_state(pid, status)
    try:
        _check_namespaces(pid)
        found = runtime.find(pid)
        named = None if found is not None else _named_version(pid)
    except (PermissionError, runtime.UnknownLayoutError) as error:
        raise not_permitted(pid) from error
    except (FileNotFoundError, ProcessLookupError) as error:
        raise gone(pid) from error
    return TargetProcess(pid, uid, command(pid), _checked(pid, found, named))


def gone(pid: int) -> UnreachableError:
    """The error for a process that has ended since it was found."""
    return UnreachableError(f"process {pid} has ended", hint="`pgrep -af python` lists others")


def not_permitted(pid: int) -> NotAllowedError | UnreachableError:
    """Why the kernel does not let us trace a process of our own user. It also refuses one that is ending."""
    if _has_ended(pid):
        return gone(pid)
    scope = _read(_PTRACE_SCOPE).strip()
    return refusal_of_scope(pid, scope, is_capable=_is_capable())


def refusal_of_scope(pid: int, scope: str, *, is_capable: bool) -> NotAllowedError:
    """The error for one setting of Yama's ``ptrace_scope``; empty where the kernel has no Yama."""
    denied = f"the kernel does not let this command trace process {pid}: "
    if scope == "3":
        return NotAllowedError(
            f"{denied}kernel.yama.ptrace_scope is 3, which forbids it to everybody until a reboot",
            hint="call `qcfeed.attach(...)` in the program, and restart it",
        )
    if scope in ("1", "2") and not is_capable:
        return NotAllowedError(
            f"{denied}kernel.yama.ptrace_scope is {scope}, which allows it to root alone",
            hint="run it as root, with sudo; or until a reboot"
            " `sudo sysctl kernel.yama.ptrace_scope=0`",
        )
    if not is_capable:
        return NotAllowedError(
            f"{denied}the process has more privileges than this command, which lacks CAP_SYS_PTRACE",
            hint="run it as root; start a container with `--cap-add SYS_PTRACE`",
        )
    return NotAllowedError(
        f"{denied}a security module or the container's seccomp profile forbids ptrace",
        hint="`dmesg` may name it; or call `qcfeed.attach(...)` in the program, and restart it",
    )


def command(pid: int) -> str:
    """The process's command line on one line, shortened, without its interpreter; ``?`` if it cannot be read."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
        shown = " ".join(words.split("\0")[1:]) or words
        return "".join(each if each.isprintable() else "?" for each in shown)[:80]
    return "?"


def _status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise not_found(
            "process",
            pid,
            where=" here",
            hint="`pgrep -af python` lists those of this machine; a process of a container has another"
            " number inside it",
        ) from error
    return dict(line.split(":", 1) for line in text.splitlines())


def _check_thread(pid: int, status: dict[str, str]) -> None:
    if (process := int(status["Tgid"])) != pid:
        raise UsageError(f"{pid} is a thread of process {process}", hint=f"give {process}")


def _check_user(pid: int, uid: int) -> None:
    if os.geteuid() not in (0, uid):
        raise NotAllowedError(
            f"process {pid} belongs to user {_user(uid)}, and this command runs as"
            f" {_user(os.geteuid())}",
            hint=f"run it as that user or as root: `sudo -u {_user(uid)} qcfeed ...`",
        )


def _check_state(pid: int, status: dict[str, str]) -> None:
    state = status["State"].split()[0]
    if state in "ZX":
        raise gone(pid)
    if tracer := int(status["TracerPid"]):
        raise NotAllowedError(
            f"process {pid} is traced by process {tracer} already ({command(tracer)}), and the kernel"
            " allows one tracer",
            hint="end that debugger or strace first",
        )
    if state == "T":
        raise UnreachableError(
            f"process {pid} is stopped, and runs nothing", hint=f"`kill -CONT {pid}` continues it"
        )


def _check_namespaces(pid: int) -> None:
    for name, what in _NAMESPACES.items():
        if Path(f"/proc/{pid}/ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink():
            raise UnreachableError(
                f"process {pid} runs in another container or sandbox: it has its own view of {what}",
                hint="run qcfeed inside it: `docker exec CONTAINER qcfeed ...`, or"
                f" `sudo nsenter --target {pid} --mount --pid qcfeed ...` with the number that it has"
                " there",
            )


def _checked(pid: int, found: Runtime | None, named: tuple[int, int] | None) -> Runtime:
    version = named if found is None else found.version
    if version is None:
        raise UsageError(
            f"process {pid} is no Python program: {command(pid)}",
            hint="`pgrep -af python` lists some; a program that contains Python under another name"
            " must call `qcfeed.attach(...)` itself",
        )
    number = ".".join(map(str, version))
    if version < runtime.KNOWN[0] or found is None:
        raise UnsupportedInterpreterError(
            f"process {pid} runs Python {number}: only Python 3.14 and later run what another process"
            " asks for",
            hint=f"`py-spy dump --pid {pid}` shows its stacks now; for its tasks, call"
            " `qcfeed.attach(...)` in the program, and restart it",
        )
    if found.is_free_threaded:
        refused = interpreter.judge("cpython", version, free_threaded=True)
        assert refused is not None  # noqa: S101
        raise UnsupportedInterpreterError(f"process {pid}: {refused.message}", hint=refused.hint)
    if version not in runtime.KNOWN or not found.is_final:
        known = " and ".join(".".join(map(str, each)) for each in runtime.KNOWN)
        kind = "" if found.is_final else " (a pre-release)"
        raise UnsupportedInterpreterError(
            f"process {pid} runs Python {number}{kind}, and this qcfeed knows the inside of {known} only",
            hint="install a newer qcfeed, or call `qcfeed.attach(...)` in the program",
        )
    return found


def _named_version(pid: int) -> tuple[int, int] | None:
    """The version of an older Python, by the names of its files."""
    exe = str(Path(f"/proc/{pid}/exe").readlink())
    if Path(exe).name.startswith("pypy"):
        raise UnsupportedInterpreterError(
            f"process {pid} runs PyPy, which cannot be attached to", hint="run it on CPython"
        )
    maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    own = _VERSION.search(exe) or _VERSION.search(
        "\n".join(line.split(maxsplit=5)[-1] for line in maps.splitlines() if "python" in line)
    )
    return None if own is None else (int(own[1]), int(own[2]))


def _has_ended(pid: int) -> bool:
    """Whether it is gone, or is exiting and has already released its memory."""
    with contextlib.suppress(PermissionError):
        try:
            return not Path(f"/proc/{pid}/maps").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return True
    return False


def _is_capable() -> bool:
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", _read(Path("/proc/self/status")), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> _CAP_SYS_PTRACE & 1)


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
