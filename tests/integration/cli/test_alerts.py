"""`qcfeed alerts` against a real Prometheus with real rules."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import loopback_http
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import Prometheus, needs_prometheus, prometheus

RULES = """
groups:
  - name: test
    interval: 100ms
    rules:
      - alert: Leaks
        expr: vector(1500)
        labels: {severity: critical}
        annotations:
          summary: "tasks grow by {{ $value | humanize }} a minute"
          command: qcfeed tasks --window 30s
          runbook_url: https://example.org/Leaks.md
      - alert: Later
        expr: vector(1)
        for: 1h
        labels: {severity: warning}
      - alert: Never
        expr: vector(1) > 2
"""
CONFIG = "rule_files: [rules.yml]\n"


def fired(server: Prometheus, wanted: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.alerts() != wanted:
        assert time.monotonic() < deadline, server.alerts()
        time.sleep(0.05)


@needs_prometheus
def test_firing_and_pending_alerts_are_listed(qcfeed_: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    with prometheus(tmp_path, config=CONFIG) as server:
        fired(server, {"Leaks": "firing", "Later": "pending"})
        people = qcfeed_("alerts", "--prometheus", server.url)
        left = qcfeed_("alerts", "--prometheus", server.url, "-o", "json")
        names = qcfeed_("alerts", "--prometheus", server.url, "-o", "name")
    assert people.status == left.status == 1
    assert "Leaks: tasks grow by 1.5k a minute" in people.out
    assert "qcfeed tasks --window 30s" in people.out
    assert "https://example.org/Leaks.md" in people.out
    told = json.loads(left.out)
    assert told["schema"] == "qcfeed.alerts/2"
    assert (told["firing"], told["pending"], told["rules"]) == (1, 1, 3)
    first = told["alerts"][0]
    assert (first["name"], first["severity"], first["current_value"]) == ("Leaks", "critical", 1500)
    assert first["first"] == "qcfeed tasks --window 30s"
    assert first["active_s"] < 5 * PATIENCE
    assert names.out == "Leaks\nLater\n"


@needs_prometheus
def test_no_alerts_differs_from_no_rules(qcfeed_: Callable[..., Any], tmp_path: Path) -> None:
    with prometheus(tmp_path) as server:
        left = qcfeed_("alerts", "--prometheus", server.url)
    assert (left.status, left.out) == (0, "")
    assert "has no alert rules loaded, so no alert can fire" in left.err
    assert "of 0 alerts" in left.err


def test_without_a_prometheus_it_says_how_to_name_one(qcfeed_: Callable[..., Any]) -> None:
    unnamed = qcfeed_("alerts")
    assert unnamed.status == 2
    assert "QCFEED_PROMETHEUS" in unnamed.err
    with loopback_http.refused() as url:
        down = qcfeed_("alerts", "--prometheus", url)
    assert down.status == 3
    assert "Connection refused" in down.err


def test_a_context_names_its_prometheus(qcfeed_: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    prod = ("--config", str(file), "--context", "prod")
    with loopback_http.refused() as asked, loopback_http.refused() as other:
        file.write_text(f'[contexts.prod]\nprometheus = "{asked}"\n')
        left = qcfeed_(*prod, "alerts")
        assert left.status == 3
        assert asked in left.err
        left = qcfeed_(*prod, "alerts", "--prometheus", other)
        assert other in left.err
