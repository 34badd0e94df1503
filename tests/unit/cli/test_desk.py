"""logs, audit, version, explain, config set and completion install, as they read."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from qcfeed import __version__
from qcfeed.cli import config_edit
from qcfeed.control.audit import AuditLog
from qcfeed.control.handlers import report
from qcfeed.control.recent_log import RecentLog
from qcfeed.diagnose.runbooks import PAGES
from qcfeed.errors import ExitStatus
from qcfeed.metrics.catalog.alerts import ALERTS
from qcfeed.service.log_format import JsonLogFormatter

from .conftest import Left, Watched

Command = Callable[..., Left]


def record(level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord("qcfeed.x", level, "", 0, message, None, None)


async def test_logs_are_chosen_by_level_and_told_as_lines_and_as_json(
    watched: Watched, qcfeed_: Command, tmp_path: Path
) -> None:
    recent = RecentLog()
    recent.handle(record(logging.INFO, "all is well"))
    for _ in range(3):
        recent.handle(record(logging.WARNING, "again\nand a line"))
    watched.serve(routes=report.routes(AuditLog(tmp_path / "a"), log=recent))
    left = await asyncio.to_thread(qcfeed_, "logs", "--level", "warning")
    assert "WARNING qcfeed.x: again\n    and a line (3 times, last at " in left.out
    assert "all is well" not in left.out
    both = await asyncio.to_thread(qcfeed_, "logs", "--jq", ".lines[].level")
    assert both.out.split() == ["INFO", "WARNING"]
    old = await asyncio.to_thread(qcfeed_, "logs", "--since", "1h", "-o", "json")
    assert len(json.loads(old.out)["lines"]) == 2


def test_a_line_of_json_has_the_fields_of_logs() -> None:
    line = json.loads(JsonLogFormatter().format(record(logging.ERROR, 'say "\x1b[31m"\nmore')))
    assert line == {
        "at": line["at"], "level": "ERROR", "logger": "qcfeed.x", "message": 'say "\x1b[31m"\nmore'
    }  # fmt: skip


async def test_audit_shows_who_did_what(
    watched: Watched, qcfeed_: Command, sleepers: Callable[..., object], tmp_path: Path
) -> None:
    sleepers(1, orphaned=True)
    first = watched.serve("one")
    assert first is not None
    await asyncio.to_thread(qcfeed_, "orphans", "--reap")
    watched.serve("two", routes=report.routes(AuditLog(tmp_path / "one.jsonl")))
    left = await asyncio.to_thread(qcfeed_, "-i", "two", "audit", "-o", "csv", "--no-headers")
    assert [line.split(",")[1:3] for line in left.out.splitlines()] == [
        ["orphans.reap", "intent"],
        ["orphans.reap", "done"],
    ]
    done = await asyncio.to_thread(qcfeed_, "-i", "two", "audit", "--state", "done", "-o", "name")
    assert len(done.out.split()) == 1


async def test_the_version_is_told_with_and_without_a_service(
    watched: Watched, qcfeed_: Command
) -> None:
    left = await asyncio.to_thread(qcfeed_, "version", "-o", "json")
    assert left.status == ExitStatus.OK
    assert json.loads(left.out)["version"] == __version__
    assert json.loads(left.out)["service"] is None


@pytest.mark.parametrize(
    "name", [*(each.name for each in ALERTS), *PAGES, "linger", "lag_bytes", "qcfeed_tasks_live"]
)
def test_everything_declared_is_explained(qcfeed_: Command, name: str) -> None:
    left = qcfeed_("explain", name)
    assert left.status == ExitStatus.OK, left.err
    assert len(left.out) > 20


def test_what_is_not_declared_is_not_found_with_what_is_close(qcfeed_: Command) -> None:
    left = qcfeed_("explain", "QcfeedOrphanedTask")
    assert left.status == ExitStatus.USAGE
    assert "did you mean QcfeedOrphanedTasks" in left.err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "port = 7\n"),
        ("# x\nport = 1 \n[contexts.a]\nport = 2\n", "# x\nport = 7\n[contexts.a]\nport = 2\n"),
        ("#port = 8006\n", "port = 7\n"),
        ("[contexts.a]\ninstance = 'x'\n", "port = 7\n\n[contexts.a]\ninstance = 'x'\n"),
    ],
)
def test_one_key_is_set_and_the_rest_stays(text: str, wanted: str) -> None:
    assert config_edit.with_value(text, "port", 7) == wanted


def test_config_set_refuses_what_is_invalid(
    qcfeed_: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.toml"
    monkeypatch.setenv("QCFEED_CONFIG", str(file))
    assert qcfeed_("config", "path").out.strip() == str(file)
    for words in (("port", "99999"), ("port", "x"), ("prot", "1")):
        assert qcfeed_("config", "set", *words).status == ExitStatus.USAGE
        assert not file.exists()
    assert qcfeed_("config", "set", "stale-after", "20").status == ExitStatus.OK
    assert file.read_text() == "stale_after = 20.0\n"


def test_completion_is_installed_once(
    qcfeed_: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    file = tmp_path / ".config/fish/completions/qcfeed.fish"
    assert qcfeed_("completion", "install").status == ExitStatus.OK
    assert file.read_text() == qcfeed_("completion", "fish").out
    assert "unchanged" in qcfeed_("completion", "install").err
    file.write_text("mine")
    assert qcfeed_("completion", "fish", "--install").status == ExitStatus.REFUSED
