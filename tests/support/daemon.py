"""A server of somebody else's as a child process: on a port from the kernel, stopped by its handle."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')
"""How Prometheus and Alertmanager both say, in their log, which port the kernel gave."""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip a test where one of these Debian packages' programs is not installed, and say so."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(
        bool(missing), reason=f"not installed: {', '.join(missing)} (scripts/system_parts.sh)"
    )


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[str]:
    """Start ``command``, which logs to stderr where it listens; its URL, once it is ready."""
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        yield _ready(process, log)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        found = _LISTENING.search(log.read_text())
        if found is not None and _answers(f"http://{found[1]}/-/ready"):
            return f"http://{found[1]}"
        time.sleep(0.02)
    raise AssertionError(f"not ready within {PATIENCE:g} s:\n{log.read_text()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        with error:  # an answer, which is closed as any other
            return error.code == 401  # it is there, and wants to know who asks
    except OSError:
        return False
