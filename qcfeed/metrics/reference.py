"""docs/metrics.md, written from the catalog. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.metrics.catalog.alerts import ALERTS, Alert
from qcfeed.metrics.catalog.metrics import METRICS, Metric
from qcfeed.metrics.catalog.panels import ROWS
from qcfeed.metrics.catalog.recordings import RECORDINGS

_HEAD = """\
# Metrics, rules, alerts, dashboard

Written from `qcfeed/metrics/catalog/` by `make generate`; `make check` compares the two.

`qcfeed serve` shows its metrics at `/metrics`, on the port for quotes or at `--admin-listen`. They are read
when somebody scrapes: nothing is counted where quotes pass. Any other asyncio program gets those about
tasks, loop lag and the memory limit with `attach` ([any-program.md](any-program.md)). The alerts on old quotes
are silent while `serve --market-hours` says that the market is closed ([ADR 17](adr/0017-a-closed-market-is-told-by-the-service.md)).

    qcfeed artifacts --write monitoring    # rules, dashboard, and a Prometheus, Alertmanager and Grafana

Spawn locations are labels, and bounded: the first 80 get one, 20 more are kept for locations that come
later and hold a hundredth of the live tasks; the rest is `other`. A label is never taken back, and what a
location had counted before stays with `other`, so no counter falls and sums are the ledger's
([ADR 16](adr/0016-one-catalog.md)).
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *_metrics(), *_recordings(), *_alerts(), *_panels()])


def _metrics() -> Iterator[str]:
    yield from ("## Metrics", "", "| name | kind | unit | labels | says |", "|---|---|---|---|---|")
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
    yield from ("## Recording rules", "", "| name | says | expression |", "|---|---|---|")
    for each in RECORDINGS:
        labels = ", ".join(f'{name}="{value}"' for name, value in each.labels.items())
        name = f"{each.name}{{{labels}}}" if labels else each.name
        yield f"| `{name}` | {each.help} | {_code(each.expr)} |"
    yield ""


def _alerts() -> Iterator[str]:
    yield from ("## Alerts", "", "Levels say that something is wrong, trends that it will be.", "")
    for alert in ALERTS:
        yield from _alert(alert)


def _alert(alert: Alert) -> Iterator[str]:
    yield f"### {alert.name}"
    yield ""
    yield f"*{alert.severity}*, after {alert.hold}. {alert.description}"
    yield f"Type first: `{alert.command}`. Runbook: `qcfeed runbook {alert.name}`."
    yield from ("", f"    {alert.expr}", "")


def _panels() -> Iterator[str]:
    yield from ("## Dashboard", "", "| row | panel | says | alerts |", "|---|---|---|---|")
    for row in ROWS:
        for panel in row.panels:
            named = ", ".join(alert.name for alert in panel.alerts)
            yield f"| {row.title} | {panel.title} | {panel.help} | {named} |"


def _code(expr: str) -> str:
    return "`" + expr.replace("|", "\\|") + "`"
