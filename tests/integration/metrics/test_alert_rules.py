"""The rules under promtool: each alert fires where it should, and nowhere else."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qcfeed.metrics import rules
from qcfeed.metrics.catalog.alerts import ALERTS, Alert
from tests.integration.metrics.alert_cases import CASES, Case, name
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import needs_prometheus

pytestmark = needs_prometheus


def promtool(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=5 * PATIENCE)


def check(directory: Path, cases: Sequence[Case], written: str) -> subprocess.CompletedProcess[str]:
    """``cases`` as a unit test of promtool's, run over the rule file ``written``."""
    (directory / "rules.yml").write_text(written)
    unit = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "30s",
        "tests": [_unit(case) for case in cases],
    }
    path = directory / "tests.yml"
    path.write_text(json.dumps(unit))  # which is YAML
    return promtool("test", "rules", path)


def _unit(case: Case) -> dict[str, Any]:
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": "15s",
        "input_series": [
            {"series": name(metric), "values": values} for metric, values in case.series.items()
        ],
        "promql_expr_test": list(_expectations(case)),
    }


def _expectations(case: Case) -> Iterator[dict[str, Any]]:
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}})'
    for minutes, samples in (
        (case.fires, [{"labels": "{}", "value": case.instances}]),
        (case.quiet, []),
    ):
        for minute in minutes:
            at = f"{round(minute * 60)}s"
            yield {"expr": firing, "eval_time": at, "exp_samples": samples}


def test_the_rules_are_well_formed(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(rules.render())
    said = promtool("check", "rules", path)
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_fires_exactly_in_its_cases(alert: Alert, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == alert.name]
    said = check(tmp_path, cases, rules.render([alert]))
    assert said.returncode == 0, said.stdout + said.stderr


def test_no_alert_lacks_a_case_either_way() -> None:
    names = {alert.name for alert in ALERTS}
    assert {case.alert for case in CASES if case.fires} == names
    assert {case.alert for case in CASES if case.quiet} == names


@pytest.mark.parametrize("fault", ["vector(1) < 0", "vector(1)"])
def test_a_rule_that_never_fires_or_always_fires_is_detected(fault: str, tmp_path: Path) -> None:
    broken = [replace(alert, expr=fault, hold="0s") for alert in ALERTS]
    first = {case.alert: case for case in reversed(CASES)}
    said = check(tmp_path, list(first.values()), rules.render(broken, recordings=()))
    assert said.returncode == 1
    assert set(re.findall("Qcfeed[A-Za-z]+", said.stdout + said.stderr)) == {
        alert.name for alert in ALERTS
    }
