"""The servers that other tests stand on do what is asked of them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.support.alertmanager import alertmanager, needs_alertmanager, webhook
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import needs_prometheus, openmetrics, prometheus

AT = 1_710_892_800.0
"""2024-03-20T00:00:00Z."""
CONFIG = """\
route: {receiver: test, group_wait: 0s, group_interval: 1s}
receivers:
  - name: test
    webhook_configs: [{url: "%s"}]
"""


@needs_prometheus
def test_backfilled_history_is_available_from_the_start(tmp_path: Path) -> None:
    history = openmetrics(
        {
            'b_total{x="1"}': [(AT, 1.0), (AT + 15, 2.0)],
            "a": [(AT, 5.0)],
            'b_total{x="2"}': [(AT, 7.0)],
        }
    )
    with prometheus(tmp_path, history=history) as server:
        assert server.value("sum(b_total)", at=AT + 20) == 9.0
        assert server.value("a", at=AT) == 5.0
        assert server.value("a", at=AT - 1) is None
        assert server.alerts() == {}


@needs_prometheus
def test_a_server_that_cannot_start_reports_why(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="cannot unmarshal"),
        prometheus(tmp_path, config="global: nonsense\n"),
    ):
        pass


@needs_alertmanager
def test_an_alert_reaches_the_webhook(tmp_path: Path) -> None:
    with webhook() as heard, alertmanager(tmp_path, CONFIG % heard.url) as url:
        alert = [{"labels": {"alertname": "Planted"}}]
        urllib.request.urlopen(
            urllib.request.Request(
                f"{url}/api/v2/alerts",
                json.dumps(alert).encode(),
                {"Content-Type": "application/json"},
            ),
            timeout=PATIENCE,
        ).close()
        assert heard.hear("Planted", "firing")["labels"] == {"alertname": "Planted"}
