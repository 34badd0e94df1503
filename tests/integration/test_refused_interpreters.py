"""`serve` and `attach` on an interpreter that is refused: that is what is said, before anything else fails.

A process of its own takes itself for a free-threaded build, by the flag that such a build has.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE

# sysconfig looks its own file up by the flag: it reads it before.
FREE_THREADED = "import sys, sysconfig; sysconfig.get_config_vars(); sys.abiflags += 't'; "
WITHOUT_DEPENDENCIES = (
    "sys.modules.update(dict.fromkeys(('aiohttp', 'httptools', 'msgspec', 'psutil'))); "
)
ATTACH = "from qcfeed import attach; attach('billing')"
SERVE = "sys.argv = ['qcfeed', 'serve', '--port', '0']; from qcfeed.__main__ import run; run()"
SENTENCE = f"this Python 3.{sys.version_info[1]} is a free-threaded build: "


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.mark.parametrize("missing", ["", WITHOUT_DEPENDENCIES])
def test_serve_prints_one_error(missing: str) -> None:
    left = run(FREE_THREADED + missing + SERVE)
    assert (left.returncode, left.stdout) == (ExitStatus.USAGE, "")
    error, hint = left.stderr.splitlines()
    assert error.startswith(f"qcfeed: error: {SENTENCE}")
    assert hint.startswith("  hint: run it on the standard build")


@pytest.mark.parametrize("missing", ["", WITHOUT_DEPENDENCIES])
def test_attach_raises_it(missing: str) -> None:
    left = run(FREE_THREADED + missing + ATTACH)
    assert left.returncode == 1
    raised = left.stderr.splitlines()[-1]
    assert raised.startswith(f"qcfeed.errors.UnsupportedInterpreterError: {SENTENCE}")


def test_a_missing_dependency_on_a_supported_interpreter_is_not_hidden() -> None:
    left = run("import sys; " + WITHOUT_DEPENDENCIES + ATTACH)
    assert left.stderr.splitlines()[-1].startswith("ModuleNotFoundError: import of msgspec halted")
