"""The dashboard's queries, asked as Grafana asks them, of a real Prometheus that has every metric of the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.metrics.catalog.metrics import METRICS, Metric, MetricKind
from qcfeed.metrics.catalog.panel import Panel, Query
from qcfeed.metrics.catalog.panels import ROWS
from qcfeed.metrics.catalog.recordings import RECORDINGS
from tests.support.prometheus_server import (
    Prometheus,
    needs_prometheus,
    openmetrics,
    prometheus,
)

pytestmark = needs_prometheus

AT = 1_710_900_900.0
EVERY = 15.0
SAMPLES = 20
PANELS = [panel for row in ROWS for panel in row.panels]
Labels = dict[str, str]


def series(
    name: str, labels: Labels, *, slope: float = 1.0
) -> dict[str, list[tuple[float, float]]]:
    """Samples up to ``AT``, which rise by ``slope`` from each to the next."""
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    times = [AT - EVERY * (SAMPLES - 1 - n) for n in range(SAMPLES)]
    return {f"{name}{{{inside}}}": [(at, 1 + slope * n) for n, at in enumerate(times)]}


def of_metric(metric: Metric, target: Labels) -> dict[str, list[tuple[float, float]]]:
    labels = target | dict.fromkeys(metric.labels, "some")
    if metric.kind not in (MetricKind.HISTOGRAM, MetricKind.DISTRIBUTION):
        return series(metric.name, labels)
    made = series(f"{metric.name}_sum", labels) | series(f"{metric.name}_count", labels)
    for bound in (*metric.buckets, "+Inf"):
        made |= series(f"{metric.name}_bucket", labels | {"le": str(bound)})
    return made


def everything() -> str:
    target = {"job": "qcfeed", "instance": "127.0.0.1:8006"}
    made = series("up", target, slope=0)
    made |= series("ALERTS", target | {"alertname": "QcfeedLoopLag", "alertstate": "firing"})
    for metric in METRICS:
        made |= of_metric(metric, target)
    for recording in RECORDINGS:
        made |= series(recording.name, target | dict(recording.labels))
    return openmetrics(made)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("full"), history=everything()) as server:
        yield server


def asked(query: Query, instance: str = ".*") -> str:
    """``query`` with the dashboard's variables filled in."""
    return query.expr.replace("$__rate_interval", "1m").replace("$instance", instance)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_query_returns_series_with_the_labels_of_its_legend(
    full: Prometheus, panel: Panel
) -> None:
    for query in panel.queries:
        result = full.query(asked(query), at=AT)
        assert result, query.expr
        for label in re.findall(r"{{(\w+)}}", query.legend):
            assert all(label in each["metric"] for each in result), query


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_large_number_is_one_value(full: Prometheus, panel: Panel) -> None:
    if panel.figure:
        assert [len(full.query(asked(query), at=AT)) for query in panel.queries] == [1]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_no_panel_shows_a_figure_of_an_instance_that_is_not_chosen(
    full: Prometheus, panel: Panel
) -> None:
    for query in panel.queries:
        assert full.query(asked(query, "10.0.0.1:8006"), at=AT) == [], query.expr


# ---------------------------------------------------------------- what is not known is not shown as 0


def figure(title: str) -> Query:
    [query] = next(panel for panel in PANELS if panel.title == title).queries
    return query


def test_orphaned_tasks_are_shown_of_a_program_without_subscriptions(tmp_path: Path) -> None:
    target = {"job": "billing", "instance": "127.0.0.1:9100", "location": "app.py:12"}
    history = openmetrics(series("qcfeed_tasks_orphaned", target, slope=0))
    with prometheus(tmp_path, history=history) as server:
        assert server.query(asked(figure("Orphans")), at=AT)[0]["value"][1] == "1"
        assert server.query(asked(figure("Alerts firing")), at=AT) == []


def test_without_firing_alerts_the_number_is_0_only_if_rules_are_evaluated(tmp_path: Path) -> None:
    target = {"job": "qcfeed", "instance": "127.0.0.1:8006"}
    with prometheus(
        tmp_path, history=openmetrics(series("tokio_spawned_tasks_total", target))
    ) as server:
        assert server.value(asked(figure("Alerts firing")), at=AT) == 0
        assert server.value(asked(figure("Alerts firing")), at=AT + 3_600) is None
