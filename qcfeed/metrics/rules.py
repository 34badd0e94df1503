"""Renders the catalog's recordings and alerts as a Prometheus rule file. Pure.

The file is small and regular, so no YAML library is needed: strings are written as JSON, which is YAML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from qcfeed.metrics.catalog.alerts import ALERTS, RUNBOOKS, Alert
from qcfeed.metrics.catalog.recordings import RECORDINGS, Recording

_DURATION = re.compile(r"(?<![\w\"|])(\d+)(ms|s|m|h)(?![\w\"|])")
"""A duration in PromQL. In quotes it is the value of a label, ``window="5m"``, and stays."""
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def render(
    alerts: Sequence[Alert] = ALERTS,
    recordings: Sequence[Recording] = RECORDINGS,
    *,
    runbooks: str = RUNBOOKS,
    faster: int = 1,
) -> str:
    """The rule file.

    ``runbooks``: URL of the directory of the runbooks. ``faster``: the factor by which to shorten every
    range, step, offset and ``for``, so that a rehearsal need not wait. Thresholds stay as they are.
    """
    lines = [
        "# Generated from qcfeed/metrics/catalog by `qcfeed artifacts rules`: change it there.",
        "groups:",
        "  - name: qcfeed",
        "    rules:",
    ]
    for recording in recordings:
        lines += _recording(recording, faster)
    for alert in alerts:
        lines += _alert(alert, runbooks.rstrip("/"), faster)
    return "\n".join(lines) + "\n"


def shorten(text: str, faster: int) -> str:
    """``text`` with every duration divided by ``faster``; at least a millisecond each."""
    if faster == 1:
        return text
    return _DURATION.sub(lambda found: _shorter(int(found[1]) * _MS[found[2]], faster), text)


def _shorter(milliseconds: int, faster: int) -> str:
    return f"{max(1, milliseconds // faster)}ms"


def _recording(recording: Recording, faster: int) -> Iterator[str]:
    yield f"      - record: {recording.name}"
    yield f"        expr: {json.dumps(shorten(recording.expr, faster))}"
    yield from _mapping("labels", recording.labels)


def _alert(alert: Alert, runbooks: str, faster: int) -> Iterator[str]:
    yield f"      - alert: {alert.name}"
    yield f"        expr: {json.dumps(shorten(alert.expr, faster))}"
    yield f"        for: {shorten(alert.hold, faster)}"
    yield from _mapping("labels", {"severity": alert.severity})
    annotations = {
        "summary": alert.summary,
        "description": alert.description,
        "command": alert.command,
        "runbook_url": f"{runbooks}/{alert.runbook}",
    }
    yield from _mapping("annotations", annotations)


def _mapping(name: str, values: Mapping[str, str]) -> Iterator[str]:
    if values:
        yield f"        {name}:"
        for key, value in values.items():
            yield f"          {key}: {json.dumps(value)}"
