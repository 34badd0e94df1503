"""The answer of ``qcfeed alerts``."""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer


class AlertRow(msgspec.Struct, kw_only=True):
    """One alert; ``current_value`` is the value of its expression, null if that is not a number.

    ``first``: the command to run first.
    """

    name: str
    state: str
    severity: str
    since: str
    active_s: float
    current_value: float | None
    summary: str
    runbook: str
    first: str
    labels: dict[str, str]


class Alerts(Answer, kw_only=True, tag="qcfeed.alerts/2"):
    """The active alerts: firing first, then by age. ``rules``: the number of alert rules loaded.

    ``source``: the Prometheus server that answered. ``pid`` and ``instance`` are empty: it is not a service.
    """

    at: str
    source: str
    firing: int
    pending: int
    rules: int
    alerts: list[AlertRow]
    missing: list[str]
