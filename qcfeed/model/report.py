"""The answers that a report is made of, beside those that commands show: log, audit, configuration.

As in answers.py, which has their envelope and its rules. Secrets are redacted before they leave.
"""

from __future__ import annotations

from typing import Any

import msgspec

from qcfeed.model.answers import Answer


class LinesQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The newest ``limit``."""

    limit: int = 200


class LogLine(msgspec.Struct, kw_only=True):
    """``repeated``: how often it came in a row, the last time at ``last_at``."""

    at: str
    level: str
    logger: str
    message: str
    repeated: int
    last_at: str


class Log(Answer, kw_only=True, tag="qcfeed.log/2"):
    """Oldest first. ``dropped``: older lines that are no longer kept, or were not asked for."""

    dropped_lines: int
    lines: list[LogLine]


class Actions(Answer, kw_only=True, tag="qcfeed.audit/1"):
    """The audit log's last entries, oldest first, as they stand in it; ``file``: where.

    ``dropped_bytes``: how much of the file is before them.
    """

    file: str
    dropped_bytes: int
    entries: list[dict[str, Any]]


class Setting(msgspec.Struct, kw_only=True):
    """One option of the service; ``default``: whether it is the default's value."""

    name: str
    value: str | None
    default: bool


class Configuration(Answer, kw_only=True, tag="qcfeed.config/1"):
    settings: list[Setting]


class Metrics(Answer, kw_only=True, tag="qcfeed.metrics/1"):
    """What /metrics says now: the Prometheus text format."""

    text: str
