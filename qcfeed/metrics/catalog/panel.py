"""What a panel of the dashboard is. ``$instance`` in an expression is what its reader has chosen."""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.metrics.catalog.alerts import Alert


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and what its lines are called: a text with ``{{label}}`` in it."""

    expr: str
    legend: str = "{{instance}}"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``unit`` is Grafana's word. ``warn`` and ``bad``: values from which it is coloured,
    rising, or falling where ``bad`` is the smaller. ``alerts`` that tell of the same thing."""

    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    warn: float | None = None
    bad: float | None = None
    alerts: tuple[Alert, ...] = ()
    figure: bool = False
    """One number, large, instead of lines over time."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def of(metric: str, *labels: str) -> str:
    """``metric`` of the instances that were chosen."""
    chosen = 'instance=~"$instance"'
    return f"{metric}{{{', '.join((chosen, *labels))}}}"


def rate(metric: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({of(metric)}[$__rate_interval]))"
