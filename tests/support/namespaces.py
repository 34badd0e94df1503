"""Machines as network namespaces of Linux, joined by a bridge, each of which can be cut off. Needs root."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.patience import PATIENCE

_CLONE_NEWNET = 0x40000000


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, timeout=PATIENCE)


@functools.cache
def missing() -> str:
    """Why there can be no namespaces; empty if there can."""
    if shutil.which("ip") is None:
        return "no `ip` (iproute2)"
    name = f"qcfeed-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "add", "name", "bridge0", "type", "bridge")
        finally:
            _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces need root: {error.stderr.decode().strip()}"
    return ""


def needs_namespaces() -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(missing()), reason=missing() or "there are namespaces")


class Machine:
    """One namespace, at ``address``. Commands run in it with ``before`` in front of them."""

    def __init__(self, prefix: str, number: int) -> None:
        self.address = f"10.77.0.{number}"
        self.name = f"{prefix}-{number}"
        self.before = ("ip", "netns", "exec", self.name)
        self._hub = f"{prefix}-hub"
        self._port = f"p{number}"
        _ip("netns", "add", self.name)
        pair = (
            "link",
            "add",
            "name",
            self._port,
            "type",
            "veth",
            "peer",
            "name",
            "e0",
            "netns",
            self.name,
        )
        _ip("-n", self._hub, *pair)
        _ip("-n", self._hub, "link", "set", self._port, "master", "bridge0", "up")
        _ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "e0")
        _ip("-n", self.name, "link", "set", "e0", "up")
        _ip("-n", self.name, "link", "set", "lo", "up")

    def cut_off(self) -> None:
        """From now on nothing passes between it and the others; nobody is told."""
        _ip("-n", self._hub, "link", "set", self._port, "nomaster")

    def rejoin(self) -> None:
        _ip("-n", self._hub, "link", "set", self._port, "master", "bridge0")

    def enter(self) -> None:
        """Move the calling thread into the namespace; use a thread that ends afterwards."""
        file = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(file, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(file)

    def connect(self, port: int) -> socket.socket:
        """A connection to its loopback, also while it is cut off."""
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self.enter).result()
            return thread.submit(socket.create_connection, ("127.0.0.1", port), PATIENCE).result()


@contextlib.contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """As many machines on one network; they are removed at the end of the block."""
    prefix = f"qcfeed-{os.getpid()}"
    hub = f"{prefix}-hub"
    names = [hub, *(f"{prefix}-{number}" for number in range(1, count + 1))]
    try:
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "name", "bridge0", "type", "bridge")
        _ip("-n", hub, "link", "set", "bridge0", "up")
        yield [Machine(prefix, number) for number in range(1, count + 1)]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=PATIENCE)
