"""Generates docs/reference/metrics.md from the catalog. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.metrics.catalog.alerts import ALERTS, Alert
from qcfeed.metrics.catalog.metrics import METRICS, Metric
from qcfeed.metrics.catalog.panels import ROWS
from qcfeed.metrics.catalog.recordings import RECORDINGS

_HEAD = """\
# Metrics, rules, alerts, dashboard

Generated from `qcfeed/metrics/catalog/` by `make generate`; `make check` compares the two.

`qcfeed serve` exposes its metrics at `/metrics`, on the port for quotes or at `--admin-listen`. They are computed
at each scrape, so they cost nothing where quotes pass. Any other asyncio program gets the metrics about tasks,
loop lag and the memory limit with `attach` ([any-program.md](../how-to/any-program.md)). The alerts on old quotes do not fire
while the market is closed according to `serve --market-hours` ([ADR 17](../adr/0017-a-closed-market-is-told-by-the-service.md)).

```sh
qcfeed artifacts --write monitoring    # rules, dashboard, and a Prometheus, Alertmanager and Grafana
```

Spawn locations are labels, and their number is limited. The first 80 locations get a label, 20 more labels are
for later locations with at least a hundredth of the live tasks, and all others are counted as `other`. A location
keeps its label. What was counted before it got the label stays with `other`, so no counter falls, and the sum
over all labels is the ledger's total ([ADR 16](../adr/0016-one-catalog.md)).
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *_metrics(), *_recordings(), *_alerts(), *_panels()])


def _metrics() -> Iterator[str]:
    yield from (
        "## Metrics",
        "",
        "| name | kind | unit | labels | meaning |",
        "|---|---|---|---|---|",
    )
    yield from (_metric(metric) for metric in METRICS)
    yield ""
    yield from ("| histogram | upper bounds of its buckets |", "|---|---|")
    for metric in METRICS:
        if metric.buckets:
            yield f"| `{metric.name}` | {', '.join(f'{bound:g}' for bound in metric.buckets)} |"
    yield ""


def _metric(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.name.lower()} | {metric.unit} | {labels} | {metric.help} |"


def _recordings() -> Iterator[str]:
    yield from ("## Recording rules", "", "| name | meaning | expression |", "|---|---|---|")
    for each in RECORDINGS:
        labels = ", ".join(f'{name}="{value}"' for name, value in each.labels.items())
        name = f"{each.name}{{{labels}}}" if labels else each.name
        yield f"| `{name}` | {each.help} | {_code(each.expr)} |"
    yield ""


def _alerts() -> Iterator[str]:
    yield from (
        "## Alerts",
        "",
        "An alert on a level means that something is wrong now; an alert on a trend means that it will be.",
        "",
    )
    for alert in ALERTS:
        yield from _alert(alert)


def _alert(alert: Alert) -> Iterator[str]:
    yield f"### {alert.name}"
    yield ""
    yield f"*{alert.severity}*, after {alert.hold}. {alert.description}"
    yield f"First command: `{alert.command}`. Runbook: `qcfeed runbook {alert.name}`."
    yield from ("", "```promql", alert.expr, "```", "")


def _panels() -> Iterator[str]:
    yield from ("## Dashboard", "", "| row | panel | meaning | alerts |", "|---|---|---|---|")
    for row in ROWS:
        for panel in row.panels:
            named = ", ".join(alert.name for alert in panel.alerts)
            yield f"| {row.title} | {panel.title} | {panel.help} | {named} |"


def _code(expr: str) -> str:
    return "`" + expr.replace("|", "\\|") + "`"
