"""The suite's own check: tests that leave a child process or a thread fail."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.shell import untraced

ROOT = Path(__file__).parents[2]
ENDS = "def test_it():\n    import subprocess\n    subprocess.run(['true'])\n"
LEAVES = """
import os, subprocess
def test_it():
    global child
    child = subprocess.Popen(['sleep', '3600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print('pid', child.pid)
"""
THREAD = """
import threading
def test_it():
    threading.Thread(target=threading.Event().wait, name='qcfeed-planted', daemon=True).start()
"""


@pytest.mark.parametrize(
    ("text", "left"),
    [(ENDS, ""), (LEAVES, "sleep 3600"), (THREAD, "thread qcfeed-planted")],
    ids=["nothing", "a process", "a thread"],
)
def test_what_a_test_leaves_behind_is_found(tmp_path: Path, text: str, left: str) -> None:
    planted = tmp_path / "test_planted.py"
    planted.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", f"--rootdir={ROOT}", "-c",
         ROOT / "pyproject.toml", "-p", "tests.conftest", planted],
        cwd=ROOT, env=untraced(), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    for pid in re.findall(r"\bpid (\d+)", done.stdout):
        os.kill(int(pid), signal.SIGKILL)
    assert (done.returncode == 0) == (not left), done.stdout
    assert left in done.stdout
    assert f"{planted.name} leaves" in done.stdout or not left
