"""The answers that only a report needs: log, audit log, configuration and metrics.

See answer.py for the fields and rules that all answers share. Secrets are redacted before an answer
leaves the process.
"""

from __future__ import annotations

from typing import Any

import msgspec

from qcfeed.model.answer import Answer


class LinesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Only the newest ``limit`` entries."""

    limit: int = 200


class LogLine(msgspec.Struct, kw_only=True):
    """One line of the log. ``repeated``: how often it was repeated in a row, the last time at ``last_at``."""

    at: str
    level: str
    logger: str
    message: str
    repeated: int
    last_at: str


class LogLines(Answer, kw_only=True, tag="qcfeed.log/2"):
    """The log, oldest line first. ``dropped_lines``: older lines that are not kept or were not requested."""

    dropped_lines: int
    lines: list[LogLine]


class AuditEntries(Answer, kw_only=True, tag="qcfeed.audit/1"):
    """The last entries of the audit log, oldest first, unchanged. ``file``: its path.

    ``dropped_bytes``: size of the part of the file before them.
    """

    file: str
    dropped_bytes: int
    entries: list[dict[str, Any]]


class Setting(msgspec.Struct, kw_only=True):
    """One option of the service. ``default``: whether the value is the default."""

    name: str
    value: str | None
    default: bool


class Configuration(Answer, kw_only=True, tag="qcfeed.config/1"):
    settings: list[Setting]


class Metrics(Answer, kw_only=True, tag="qcfeed.metrics/1"):
    """The current content of /metrics, in the Prometheus text format."""

    text: str
