"""The control plane's listening sockets: one Unix socket per instance, protected by a lock file.

The lock makes the instance's name unique. The kernel releases it when the process dies, however it dies,
so a socket file whose lock is free is stale and may be replaced.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from qcfeed.control import auth
from qcfeed.control.paths import checked_socket
from qcfeed.errors import ConfigError, InstanceTakenError, StartError

BACKLOG = 64


class UnixListener:
    """The instance's socket (mode 0600) in a directory that only this user can enter, until ``close``.

    Raises StartError if the instance is already running or the socket cannot be created, ConfigError if its
    path is too long.
    """

    def __init__(self, instance: str, path: Path) -> None:
        self.path = checked_socket(path)
        auth.ensure_directory(path.parent)
        self._lock = _lock(instance, path)
        try:
            self.socket = _bind(path)
        except OSError as error:
            self._release()
            raise StartError(
                f"cannot make the control socket {path}: {error.strerror}",
                hint=f"look at it: `ls -la {path}`; or give another --instance",
            ) from error

    def close(self) -> None:
        self.socket.close()
        # While the lock is held: afterwards the path may belong to another service.
        self.path.unlink(missing_ok=True)
        self._release()

    def abandon(self) -> None:
        """In a forked child: close the parent's socket and lock here; they stay with the parent."""
        self.socket.close()
        os.close(self._lock)

    def _release(self) -> None:
        """The file is removed before the lock: whoever opened it meanwhile sees that it is gone."""
        _lock_path(self.path).unlink(missing_ok=True)
        os.close(self._lock)


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _lock(instance: str, path: Path) -> int:
    """The descriptor of the locked file, which contains our pid."""
    lock = _lock_path(path)
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StartError(
                f"cannot make the lock {lock}: {error.strerror}",
                hint=f"look at it: `ls -la {lock}`",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(descriptor, 32).decode(errors="replace") or "unknown"
            os.close(descriptor)
            raise InstanceTakenError(
                f"instance {instance} already runs here (pid {pid})",
                hint=f"`qcfeed --instance {instance} status` asks it;"
                " another beside it needs another name: `qcfeed --instance OTHER serve`,"
                " or attach(OTHER)",
            ) from error
        if _names(lock, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor
        os.close(
            descriptor
        )  # its holder removed the file between our open and our lock: open the new one


def _names(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _bind(path: Path) -> socket.socket:
    if path.is_socket():
        # Its owner is gone, because its lock was free.
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # Before ``listen``: until then nobody can connect.
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def check_loopback(host: str) -> None:
    """Raises ConfigError for an address that is not loopback."""
    if not auth.is_loopback(host):
        raise ConfigError(
            f"the control plane listens on loopback only, not on {host}",
            hint="give --control-listen 127.0.0.1:PORT and reach it by `ssh -L`",
        )


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address; port 0 takes any free port.

    Raises ConfigError for an address that is not loopback, StartError if it is in use.
    """
    check_loopback(host)
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Without an explicit protocol asyncio does not treat the socket as TCP and does not set TCP_NODELAY.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(
            f"the control plane cannot listen on {host}:{port}: {error.strerror}",
            hint=f"who has it? `ss -ltnp sport = :{port}`; or give --control-listen another port",
        ) from error
    except OverflowError as error:
        listener.close()
        raise ConfigError(f"{port} is no port: they go from 0 to 65535") from error
    return listener
