"""The parts of the dashboard. ``$instance`` in an expression is the dashboard's variable."""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.metrics.catalog.alerts import Alert


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and the legend of its lines, in which ``{{label}}`` is replaced."""

    expr: str
    legend: str = "{{instance}}"
    flag: bool = False
    """The value is 0 or 1: show No or Yes, on an axis of its own beside the panel's unit."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``unit``: Grafana's name of the unit. ``warn`` and ``bad``: thresholds of the colours,
    for falling values if ``bad`` is smaller. ``alerts``: the alerts about the same thing."""

    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    warn: float | None = None
    bad: float | None = None
    alerts: tuple[Alert, ...] = ()
    figure: bool = False
    """Show the present value as one large number instead of lines over time."""
    empty: str = "no data"
    """The text of a large number for which the query returns nothing."""


@dataclass(frozen=True, slots=True)
class PanelRow:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def of(metric: str, *labels: str) -> str:
    """``metric`` of the chosen instances."""
    chosen = 'instance=~"$instance"'
    return f"{metric}{{{', '.join((chosen, *labels))}}}"


def rate(metric: str, by: str = "instance") -> str:
    """The rate per second of a counter of the chosen instances."""
    return f"sum by ({by}) (rate({of(metric)}[$__rate_interval]))"
