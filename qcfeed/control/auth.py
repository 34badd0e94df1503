"""Decides who may use the control plane.

Over the Unix socket: processes of the same user or of root, as the kernel reports them (peers.py). Over
loopback TCP: whoever has the bearer token, and never a browser. A foreign ``Host`` header means DNS
rebinding; an ``Origin`` header means that a web page sends requests in its reader's name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
from pathlib import Path

from qcfeed.control.peers import Peer, me
from qcfeed.errors import NotAllowedError, StartError


def check_client(client: Peer) -> None:
    """Raises NotAllowedError unless the client belongs to this process's user or to root."""
    if client.uid not in (0, os.geteuid()):
        raise NotAllowedError(
            f"user {client.user} may not speak to a service of user {me().user}",
            hint=f"run the command as {me().user} or as root",
        )


def is_loopback(host: str) -> bool:
    """Whether ``host`` is ``localhost`` or a loopback address; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_origin(origin: str | None) -> None:
    """Raises NotAllowedError for any ``Origin``: browsers send it, our clients never do."""
    if origin is not None:
        raise NotAllowedError(
            f"requests from web pages are refused (Origin: {origin[:100]!r})",
            hint="use the qcfeed command, or a client that sends no Origin",
        )


def check_host(host: str | None, port: int) -> None:
    """Raises NotAllowedError for any other ``Host`` than ours, which stops DNS rebinding."""
    name, _, given = (host or "").rpartition(":")
    if given != str(port) or not is_loopback(name.strip("[]")):
        raise NotAllowedError(
            f"Host {(host or '')[:100]!r} is not this service",
            hint=f"use http://127.0.0.1:{port}",
        )


def check_token(authorization: str | None, token: str) -> None:
    """Raises NotAllowedError unless the header is ``Bearer <token>``. Takes constant time."""
    import hmac  # imports OpenSSL, which clients do not need

    given = (authorization or "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise NotAllowedError(
            "the bearer token is missing or wrong",
            hint="set QCFEED_TOKEN to what the service's token file holds, or run as its user",
        )


def ensure_directory(directory: Path) -> None:
    """Create a directory that only this user can enter, or check that an existing one is so.

    Raises StartError for a symbolic link, for another user's directory, and for one that others may enter:
    whoever can write there could replace our socket by theirs.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True, parents=True)
        # Not ``stat``: a symbolic link could lead anywhere.
        found = directory.lstat()
    except OSError as error:
        raise StartError(
            f"cannot make the directory {directory}: {error.strerror}",
            hint="set XDG_RUNTIME_DIR to a directory of yours, or give --socket",
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StartError(
            f"{directory} is not a directory of user {me().user}",
            hint=f"who put it there? `ls -lad {directory}`; or set XDG_RUNTIME_DIR elsewhere",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise StartError(
            f"{directory} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"`chmod 700 {directory}`, or set XDG_RUNTIME_DIR elsewhere",
        )


def read_token(path: Path) -> str:
    """Read the token from ``path``.

    Raises NotAllowedError if the file cannot be read, is not a regular file of this user or of root, or can
    be read by others.
    """
    try:
        # O_NONBLOCK, because opening a FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise NotAllowedError(
            f"cannot read the control plane's token {path}: {error.strerror}",
            hint="run as the service's user, or set QCFEED_TOKEN",
        ) from error
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as stream:
        # Of the open file: its path could lead to another one by now.
        found = os.fstat(descriptor)
        private = stat.S_ISREG(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        token = stream.read(1024).strip() if private else ""
    if not token or found.st_uid not in (0, os.geteuid()):
        raise NotAllowedError(
            f"{path} is not a token that only {me().user} can read",
            hint=f"check `ls -la {path}`; if it is missing, the service creates a new one when it starts",
        )
    return token


def ensure_token(path: Path) -> str:
    """Read the token from ``path``; create it with mode 0600 if it does not exist.

    Raises StartError if it cannot be created, and what ``read_token`` raises.
    """
    ensure_directory(path.parent)
    if not path.exists():
        try:
            _make_token(path)
        except OSError as error:
            raise StartError(
                f"cannot make the control plane's token {path}: {error.strerror}",
                hint="set XDG_RUNTIME_DIR to a directory with free space, or omit --control-listen",
            ) from error
    return read_token(path)


def _make_token(path: Path) -> None:
    """Written completely and then linked to its name, so nobody reads half a token or overwrites one."""
    import secrets  # as hmac above

    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(32).encode() + b"\n")
        with contextlib.suppress(
            FileExistsError
        ):  # another service created it first; its token is used
            # Unlike a rename, a link fails if the name is taken.
            path.hardlink_to(fresh)
    finally:
        os.close(descriptor)
        fresh.unlink()
