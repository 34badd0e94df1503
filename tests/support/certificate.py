"""A certificate for tests of TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE


def of_localhost(directory: Path) -> Path:
    """A file with a certificate of localhost, signed by itself, and its key."""
    both = directory / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    try:
        subprocess.run(
            command.split(), cwd=directory, check=True, capture_output=True, timeout=PATIENCE
        )
    except FileNotFoundError:
        pytest.skip("not installed: openssl")
    both.write_text((directory / "key.pem").read_text() + (directory / "cert.pem").read_text())
    return both
