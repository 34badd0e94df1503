from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qcfeed.control import redact
from qcfeed.control.audit import AuditLog, Caller
from qcfeed.control.handlers import report
from qcfeed.control.recent_log import RecentLog
from qcfeed.control.routes import AUDIT, CONFIG, LOG, METRICS, NoQuery, ReadRoute
from qcfeed.errors import UsageError
from qcfeed.model.report import LinesQuery


@dataclass(frozen=True)
class Config:
    port: int = 8006
    upstream: str = "sim:"
    feed_password: str | None = None


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl")


def handlers(audit: AuditLog, **given: Any) -> dict[str, Any]:
    """By path; each answers as the dispatcher lets it."""

    def ask(route: ReadRoute[Any]) -> Callable[[Any], Any]:
        def answer(query: Any) -> Any:
            told = route.handle(query)
            if not route.redacted:
                return told
            raw = redact.answer(msgspec.json.encode(told), redact.values(os.environ))
            return msgspec.json.decode(raw, type=type(told))

        return answer

    routes = report.routes(audit, **given)
    return {route.path: ask(route) for route in routes if isinstance(route, ReadRoute)}


def test_only_the_parts_that_a_program_provides_have_routes(audit: AuditLog) -> None:
    assert handlers(audit).keys() == {AUDIT}
    whole = handlers(audit, log=RecentLog(), config=Config(), metrics=lambda: b"x 1\n")
    assert whole.keys() == {AUDIT, LOG, CONFIG, METRICS}
    assert whole[METRICS](NoQuery()).text == "x 1\n"


def test_the_configuration_without_its_secrets(
    audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENDOR_TOKEN", "sesame-open")
    config = Config(upstream="wss://u:p4ss@h/sesame-open", feed_password="x")
    settings = {
        each.name: each for each in handlers(audit, config=config)[CONFIG](NoQuery()).settings
    }
    assert (settings["port"].value, settings["port"].default) == ("8006", True)
    assert settings["upstream"].value == "wss://[redacted]@h/[redacted]"
    assert settings["feed_password"].value == "[redacted]"


def test_the_log_s_newest_lines(audit: AuditLog) -> None:
    log = RecentLog()
    for number in range(5):
        text = f"line {number} password=x{number}"
        log.handle(logging.LogRecord("a", logging.INFO, "a.py", 1, text, (), None))
    told = handlers(audit, log=log)[LOG](LinesQuery(limit=2))
    assert [each.message for each in told.lines] == [
        f"line {n} password=[redacted]" for n in (3, 4)
    ]
    assert told.dropped_lines == 3
    with pytest.raises(UsageError, match="limit is 0"):
        handlers(audit, log=log)[LOG](LinesQuery(limit=0))


def test_the_newest_audit_entries_are_listed_without_a_half_written_line(audit: AuditLog) -> None:
    ask = handlers(audit)[AUDIT]
    assert ask(LinesQuery()).entries == []
    for number in range(4):
        audit.intend(f"act {number}", Caller(via="unix", uid=0), {"token": "abc-secret"})
    with audit.path.open("a") as file:
        file.write('{"at": "2024')
    told = ask(LinesQuery(limit=3))
    assert [each["action"] for each in told.entries] == ["act 2", "act 3"]
    assert told.entries[0]["request"] == {"token": "[redacted]"}
    assert told.dropped_bytes == sum(
        map(len, audit.path.read_bytes().splitlines(keepends=True)[:2])
    )


def test_only_the_end_of_a_long_audit_log_is_read(
    audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        audit.intend(f"act {number}", Caller(via="unix", uid=0), {})
    monkeypatch.setattr(report, "TAIL_BYTES", 1_000)
    told = handlers(audit)[AUDIT](LinesQuery(limit=1_000))
    assert told.entries[-1]["action"] == "act 49"
    assert 1 < len(told.entries) < 20
    assert told.dropped_bytes >= audit.path.stat().st_size - 1_000
