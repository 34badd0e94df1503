"""`qcfeed serve` where aiomonitor cannot be imported, and where every warning is an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from tests.support.shell import qcfeed, serving

AS_ON_3_16 = """
import asyncio

def gone(name):
    raise AttributeError(f"module 'asyncio' has no attribute {name!r}")

vars(asyncio).pop("DefaultEventLoopPolicy", None)
asyncio.__getattr__ = gone  # 3.14 and 3.15 make it when it is asked for
"""
REASON = (
    "aiomonitor cannot be imported (AttributeError:"
    " module 'asyncio' has no attribute 'DefaultEventLoopPolicy')"
)


def test_the_service_starts_without_the_monitor_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(AS_ON_3_16)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with serving(tmp_path) as service:
        service.hear(f"  monitor  off: {REASON}")
        monkeypatch.delenv("PYTHONPATH")
        listening = json.loads(qcfeed(tmp_path, "status", "-o", "json").stdout)["listening"]
        assert (listening["monitor"], listening["monitor_web"]) == (None, None)
        assert listening["monitor_off"] == REASON
        assert f"off: {REASON}" in qcfeed(tmp_path, "status", "-o", "wide").stdout
        assert service.end() == ExitStatus.OK
    [warning] = [line for line in service.talk if "WARNING" in line]
    assert f"the monitor is off: {REASON}; use --no-monitor" in warning


def test_the_service_starts_with_every_warning_turned_into_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with serving(tmp_path) as service:
        service.hear("  monitor  telnet ")
        assert service.end() == ExitStatus.OK
    assert not [line for line in service.talk if "Warning" in line]
