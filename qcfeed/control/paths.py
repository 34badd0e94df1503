"""Where sockets, tokens and audit logs are, and which instances run on this machine.

An instance is found by its socket, ``<runtime directory>/<instance>.sock``; there is no registry that could
be out of date. Nothing is requested from an instance here: a connection shows that it listens, and the
kernel says which process does.
"""

from __future__ import annotations

import os
import re
import socket as sockets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from qcfeed.closest import closest
from qcfeed.control import auth, directories, elsewhere, peers
from qcfeed.control.connection import Where
from qcfeed.control.directories import SUFFIX
from qcfeed.errors import (
    NAMED,
    AmbiguousInstanceError,
    ConfigError,
    NotAllowedError,
    StartError,
    UnreachableError,
    UsageError,
)

SOCKET_PATH_BYTES = 107
"""The length of ``sun_path`` on Linux, without the final zero (unix(7))."""

GROUP_SUFFIX = ".workers"
"""The suffix of the directory that a group of workers has beside its socket while it runs."""

CONNECT_TIMEOUT = 0.2
"""Seconds to wait for each socket while listing instances; a Unix connect is normally immediate."""

_INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ControlAddress(NamedTuple):
    """The address of a control plane: a Unix socket, or loopback TCP with a bearer token."""

    socket: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None

    @property
    def where(self) -> Where:
        """The address in the form that a connection takes."""
        return str(self.socket) if self.socket else (self.host, self.port)

    def __str__(self) -> str:
        return str(self.socket) if self.socket else f"http://{self.host}:{self.port}"


class Instance(NamedTuple):
    """A service that runs on this machine. ``pid``: None if the kernel does not say."""

    name: str
    socket: Path
    pid: int | None

    def __str__(self) -> str:
        return self.name if self.pid is None else f"{self.name} (pid {self.pid})"


def runtime_directory(env: Mapping[str, str] = os.environ) -> Path:
    """The directory of the sockets and the token: only this user can enter it, and a reboot empties it.

    Raises StartError if there is neither ``XDG_RUNTIME_DIR`` nor a temporary directory.
    """
    try:
        return Path(directories.runtime(env))
    except OSError as error:
        raise StartError(
            f"there is no directory for control sockets: {error.strerror}",
            hint="set XDG_RUNTIME_DIR to a directory that this user can write to",
        ) from error


def state_directory(env: Mapping[str, str] = os.environ) -> Path:
    """The directory of files that survive a reboot: audit logs.

    Raises StartError for a user without a home directory.
    """
    home = env.get("XDG_STATE_HOME") or Path(env.get("HOME") or "~") / ".local" / "state"
    try:
        return Path(home).expanduser() / "qcfeed"
    except RuntimeError as error:
        raise StartError(
            "this user has no home directory, where the audit log would be",
            hint="set XDG_STATE_HOME, or HOME, to a directory that this user can write to",
        ) from error


def instance_name(name: str) -> str:
    """Check an instance name and return it. Raises ConfigError if it cannot be the name of a file."""
    if not _INSTANCE.fullmatch(name):
        raise ConfigError(
            f"{name[:80]!r} cannot name an instance",
            hint="use 1 to 64 of the letters A-Z a-z, digits, dot, underscore and hyphen",
        )
    return name


def socket_path(instance: str, env: Mapping[str, str] = os.environ) -> Path:
    """The path of the instance's socket. Raises ConfigError for an invalid name, or a path that is too long."""
    return checked_socket(runtime_directory(env) / f"{instance_name(instance)}{SUFFIX}")


def checked_socket(path: Path) -> Path:
    """Check the path of a socket and return it. Raises ConfigError if it is too long for one."""
    if (length := len(os.fsencode(path))) > SOCKET_PATH_BYTES:
        raise ConfigError(
            f"the socket's path has {length} bytes, the kernel takes {SOCKET_PATH_BYTES}: {path}",
            hint="use a shorter instance name, or set XDG_RUNTIME_DIR to a shorter directory",
        )
    return path


def token_path(env: Mapping[str, str] = os.environ) -> Path:
    """The file of the bearer token: one per user, because a URL does not say which instance listens there."""
    return runtime_directory(env) / "control.token"


def audit_path(instance: str, env: Mapping[str, str] = os.environ) -> Path:
    """The default path of the instance's audit log."""
    return state_directory(env) / f"{instance_name(instance)}.audit.jsonl"


def running_instances(env: Mapping[str, str] = os.environ) -> list[Instance]:
    """The instances that listen in the runtime directory, by name; stale sockets are left out.

    Sees this user's instances only. Raises NotAllowedError if the directory cannot be read. Cost: one
    connection to each, closed at once.
    """
    return _running_in(runtime_directory(env))


def _running_in(directory: Path) -> list[Instance]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIX))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise NotAllowedError(
            f"cannot look for services in {directory}: {error.strerror}",
            hint=f"set XDG_RUNTIME_DIR to a directory of yours, or {elsewhere.OPTIONS}",
        ) from error
    found = (_running(path) for path in paths)
    return [instance for instance in found if instance is not None]


def others_in(socket: Path, env: Mapping[str, str] = os.environ) -> str:
    """A hint that names the instances beside ``socket``, which does not answer; empty if there are none."""
    try:
        running = [each for each in _running_in(socket.parent) if each.socket != socket]
    except NotAllowedError:
        return ""
    if not running:
        return ""
    names = ", ".join(map(str, running[:NAMED]))
    more = f" and {len(running) - NAMED:,} more" if len(running) > NAMED else ""
    close = closest(socket.name.removesuffix(SUFFIX), [each.name for each in running])
    option = "--socket" if socket.parent != runtime_directory(env) else "--instance"
    meant = next((each for each in running if each.name in close), running[0])
    value = meant.name if option == "--instance" else meant.socket
    how = f"`qcfeed {option} {value} ...`"
    if close:
        return f"did you mean {how}? running: {names}{more}"
    return f"running: {names}{more}; name one, for example {how}"


def _running(path: Path) -> Instance | None:
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT)
        try:
            probe.connect(str(path))
        except (TimeoutError, BlockingIOError):
            return Instance(path.stem, path, None)  # too busy to accept, so it is alive
        except OSError:
            return None
        return Instance(path.stem, path, peers.peer(probe).pid or None)


def resolve(
    instance: str | None,
    socket: Path | None,
    url: str | None,
    env: Mapping[str, str] = os.environ,
    *,
    token_file: Path | None = None,
) -> ControlAddress:
    """The control plane that a command is for: the one that was named, or the only one that runs.

    ``token_file``: the file of the bearer token for ``url``, if it is not in our own place.

    Raises UsageError if two were named, UnreachableError if none runs here, and AmbiguousInstanceError, with
    a list, if several do.
    """
    if sum(given is not None for given in (instance, socket, url)) > 1:
        raise UsageError(
            "--instance, --socket and --url each name a service",
            hint="give one of them",
        )
    if url is not None:
        return _from_url(url, env, token_file)
    if socket is not None:
        return ControlAddress(socket=checked_socket(socket))
    if instance is not None:
        return ControlAddress(socket=socket_path(instance, env))
    return _only_one(running_instances(env), runtime_directory(env))


def _only_one(running: list[Instance], directory: Path) -> ControlAddress:
    if not running:
        raise elsewhere.instead_of(None, directory) or UnreachableError(
            f"no qcfeed service runs here (looked in {directory})",
            hint="`qcfeed serve` starts one; --socket or --url name one that is elsewhere",
        )
    if group := _one_group(running, directory):
        return ControlAddress(socket=group.socket)
    if len(running) > 1:
        names = ", ".join(map(str, running))
        raise AmbiguousInstanceError(
            f"{len(running)} instances run here: {names}",
            hint=f"name one: `qcfeed --instance {running[0].name} ...`",
        )
    return ControlAddress(socket=running[0].socket)


def _one_group(running: list[Instance], directory: Path) -> Instance | None:
    """The supervisor of a group of workers if nothing but the group runs here."""
    for each in running:
        if (directory / f"{each.name}{GROUP_SUFFIX}").is_dir():
            others = [other for other in running if other is not each]
            return each if all(is_worker(other.name, each.name) for other in others) else None
    return None


def supervisors(running: Iterable[Instance], env: Mapping[str, str] = os.environ) -> set[str]:
    """The names of those that supervise a group of workers."""
    directory = runtime_directory(env)
    return {each.name for each in running if (directory / f"{each.name}{GROUP_SUFFIX}").is_dir()}


def is_worker(instance: str, group: str) -> bool:
    """Whether it is the name of a worker of ``group``."""
    prefix, _, suffix = instance.rpartition("-")
    return prefix == group and (suffix.isdecimal() or suffix == "feeder")


def _from_url(url: str, env: Mapping[str, str], token_file: Path | None) -> ControlAddress:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL: {error}") from error
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme != "http" or not host or not port or not bare:
        raise UsageError(
            f"{url!r} is not a control plane's URL",
            hint="use http://127.0.0.1:PORT, as `qcfeed serve` prints it",
        )
    if not auth.is_loopback(host):
        raise UsageError(
            f"{host} is another machine, and the token would cross the network in the clear",
            hint=f"`ssh -L {port}:127.0.0.1:{port} {host}`, then --url http://127.0.0.1:{port}",
        )
    return ControlAddress(host=host, port=port, token=_token(env, token_file))


def _token(env: Mapping[str, str], token_file: Path | None) -> str | None:
    if token_file is not None:
        return auth.read_token(token_file)
    if given := env.get("QCFEED_TOKEN"):
        if not given.isprintable():
            raise UsageError(
                "$QCFEED_TOKEN holds a line break or another control character",
                hint="a token is one word, the content of the service's token file",
            )
        return given
    path = token_path(env)
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError:  # in a directory that only another user can enter: reading it says so
        pass
    return auth.read_token(path)
