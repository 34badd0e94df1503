"""The C programs, compiled when they are needed: the readers, and the limit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent
_SOURCES = {
    "readers": sorted(_HERE.glob("readers/*.c")),
    "limit": [_HERE / "servers" / "limit.c"],
}

_WITH_TLS = ("readers",)


def compiler() -> str | None:
    """A C compiler; None where there is none."""
    return shutil.which("gcc") or shutil.which("cc")


def build(name: str, directory: Path) -> Path:
    """Compile ``name`` into ``directory``. Raises CalledProcessError with the compiler's output."""
    program = directory / name
    command = [
        compiler() or "cc",
        "-O2",
        "-Wall",
        "-Wextra",
        "-o",
        str(program),
        *map(str, _SOURCES[name]),
    ]
    if name in _WITH_TLS and tls_missing() is None:
        command += ["-DWITH_TLS", "-lssl", "-lcrypto"]
    subprocess.run(command, check=True)
    return program


def tls_missing() -> str | None:
    """Why nothing can be measured with TLS; None if it can."""
    if shutil.which("openssl") is None:
        return "openssl is not installed"
    compiled = subprocess.run(
        [compiler() or "cc", "-fsyntax-only", "-x", "c", "-"],
        input=b"#include <openssl/ssl.h>\n", capture_output=True,
    )  # fmt: skip
    return "OpenSSL's headers are not installed: libssl-dev" if compiled.returncode else None


def certificate(directory: Path) -> tuple[Path, Path]:
    """Files with a certificate for localhost and its key, on the curve that most sites use."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    command += " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return cert, key
