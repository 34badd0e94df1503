"""The handlers that only reports need: log, audit log, configuration and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from qcfeed import rfc3339
from qcfeed.control import redact
from qcfeed.control.audit import AuditLog
from qcfeed.control.recent_log import LogEntry, RecentLog
from qcfeed.control.routes import AUDIT, CONFIG, LOG, METRICS, NoQuery, ReadRoute, Route
from qcfeed.errors import UsageError
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.report import (
    AuditEntries,
    Configuration,
    LinesQuery,
    LogLine,
    LogLines,
    Metrics,
    Setting,
)

MOST_LINES = 10_000
TAIL_BYTES = 1_048_576
"""Bytes read from the end of the audit log. One line has at most some tens of kilobytes."""


def routes(
    audit: AuditLog,
    *,
    log: RecentLog | None = None,
    config: Any = None,
    metrics: Callable[[], bytes] | None = None,
) -> list[Route]:
    """The route AUDIT, and those of LOG, CONFIG and METRICS for which the process has something to report."""
    view = _ReportHandlers(audit, log, config, metrics)
    found: list[Route] = [ReadRoute(AUDIT, LinesQuery, view.audit, redacted=True)]
    if log is not None:
        found.append(ReadRoute(LOG, LinesQuery, view.log, redacted=True))
    if is_dataclass(config):
        found.append(ReadRoute(CONFIG, NoQuery, view.config, redacted=True))
    if metrics is not None:
        found.append(ReadRoute(METRICS, NoQuery, view.metrics))
    return found


class _ReportHandlers:
    def __init__(
        self,
        audit: AuditLog,
        log: RecentLog | None,
        config: Any,
        metrics: Callable[[], bytes] | None,
    ) -> None:
        self._audit = audit
        self._log = log
        self._config = config
        self._metrics = metrics

    def log(self, query: LinesQuery) -> LogLines:
        """Cost: 20 us per line."""
        assert self._log is not None  # noqa: S101 - the route is there only then
        entries = self._log.entries()
        wanted = _newest(entries, query.limit)
        return LogLines(
            dropped_lines=self._log.dropped + len(entries) - len(wanted),
            lines=[_line(entry) for entry in wanted],
        )

    def audit(self, query: LinesQuery) -> AuditEntries:
        """Cost: reading at most TAIL_BYTES."""
        raw, before = _tail(self._audit.path)
        whole = [line for line in raw.split(b"\n") if line]
        lines = _newest(whole, query.limit)
        before += sum(len(line) + 1 for line in whole[: len(whole) - len(lines)])
        entries = [_entry(line) for line in lines]
        return AuditEntries(
            file=str(self._audit.path),
            dropped_bytes=before,
            entries=[entry for entry in entries if entry is not None],
        )

    def config(self, _: NoQuery) -> Configuration:
        settings = []
        for option in fields(self._config):
            value = getattr(self._config, option.name)
            settings.append(
                Setting(
                    name=option.name,
                    value=_shown(option.name, value),
                    default=value == option.default,
                )
            )
        return Configuration(settings=settings)

    def metrics(self, _: NoQuery) -> Metrics:
        """Cost: that of one scrape."""
        assert self._metrics is not None  # noqa: S101 - the route is there only then
        return Metrics(text=self._metrics().decode())


def _newest(items: list[Any], limit: int) -> list[Any]:
    if not 1 <= limit <= MOST_LINES:
        raise UsageError(f"limit is {limit}", hint=f"give 1 to {MOST_LINES}")
    return items[-limit:]


def _line(entry: LogEntry) -> LogLine:
    return LogLine(
        at=rfc3339.milliseconds(entry.at),
        level=entry.level,
        logger=entry.logger,
        message=entry.message,
        repeated=entry.repeated,
        last_at=rfc3339.milliseconds(entry.last_at),
    )


def _tail(path: Path) -> tuple[bytes, int]:
    """The last whole lines of the file, and how many bytes come before them; empty if there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = file.seek(max(0, size - TAIL_BYTES))
            raw = file.read(TAIL_BYTES)
    except OSError:
        return b"", 0
    if begin:
        cut = raw.find(b"\n") + 1
        return raw[cut:], begin + cut
    return raw, 0


def _entry(line: bytes) -> dict[str, Any] | None:
    """One entry; None for an incomplete line (the disk was full, or it is being written)."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except JSON_ERRORS:
        return None


def _shown(name: str, value: Any) -> str | None:
    if value is None:
        return None
    return redact.GONE if redact.is_secret(name) else str(value)
