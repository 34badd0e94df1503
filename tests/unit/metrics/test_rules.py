from __future__ import annotations

import json
import re

import pytest

from qcfeed.metrics import rules
from qcfeed.metrics.catalog.alerts import ALERTS, RUNBOOKS
from qcfeed.metrics.catalog.metrics import METRICS
from qcfeed.metrics.catalog.panels import ROWS
from qcfeed.metrics.catalog.recordings import RECORDINGS

EXPRESSIONS = {
    **{alert.name: alert.expr for alert in ALERTS},
    **{f"{each.name} {dict(each.labels)}": each.expr for each in RECORDINGS},
    **{
        f"{panel.title} {query.legend}": query.expr
        for row in ROWS
        for panel in row.panels
        for query in panel.queries
    },
}
SHOWN = (
    {metric.name for metric in METRICS}
    | {f"{m.name}{part}" for m in METRICS if m.buckets for part in ("_bucket", "_sum", "_count")}
    | {each.name for each in RECORDINGS}
    | {"up", "ALERTS"}
)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_use_only_metrics_of_the_catalog(name: str) -> None:
    plain = re.sub(r'"[^"]*"', '""', EXPRESSIONS[name])
    asked = re.findall(r"\b(?:(?:qcfeed|process|tokio|market)_\w+|qcfeed:\w+|up|ALERTS)\b", plain)
    assert asked
    assert set(asked) <= SHOWN


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("15m", "30s"),
        ("deriv(x[5m])", "deriv(x[10s])"),
        ("(a)[30m:15s] offset 1h)", "(a)[1m:500ms] offset 2m)"),
        ('x{window=~"5m|15m"} < 30 * 60', 'x{window=~"5m|15m"} < 30 * 60'),
        ("for: 10s\nevery: 1ms", "for: 333ms\nevery: 1ms"),
        ("p99m5 > 5", "p99m5 > 5"),
    ],
)
def test_a_rehearsal_shortens_times_and_nothing_else(text: str, shorter: str) -> None:
    assert _milliseconds(rules.shorten(text, 30)) == _milliseconds(shorter)
    assert rules.shorten(text, 1) == text


def _milliseconds(text: str) -> str:
    units = {"s": 1_000, "m": 60_000, "h": 3_600_000}
    return re.sub(
        r'(?<![\w"|])(\d+)([smh])(?![\w"|])', lambda d: f"{int(d[1]) * units[d[2]]}ms", text
    )


def test_every_alert_has_a_command_and_a_runbook_url() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert re.fullmatch(r"Qcfeed([A-Z][a-z]+)+", alert.name)
        assert alert.command.startswith("qcfeed ")
        assert alert.summary
        assert alert.description.endswith(".")
    written = rules.render(runbooks="https://wiki/pages/")
    assert f"https://wiki/pages/{ALERTS[0].name}.md" in written
    assert RUNBOOKS not in written


def test_the_file_is_data_and_not_more_rules() -> None:
    written = rules.render()
    assert written.count("- alert: ") == len(ALERTS)
    assert written.count("- record: ") == len(RECORDINGS)
    for alert in ALERTS:
        assert json.dumps(alert.expr) in written
