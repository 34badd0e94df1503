"""`qcfeed diagnose` and `report` with a real Prometheus, and with a broken one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcfeed.errors import ExitStatus
from tests.support import incident
from tests.support.loopback_http import reply, serving
from tests.support.machine import of_the_program
from tests.support.patience import PATIENCE
from tests.support.program import program
from tests.support.prometheus_server import needs_prometheus, openmetrics, prometheus
from tests.support.shell import qcfeed

RULES = """
groups:
  - name: rehearsal
    rules:
      - {alert: QcfeedMemoryRunsOut, expr: "max by (job, instance) (up) > 0", annotations: {summary: rehearsed}}
      - {alert: OfAnother, expr: "vector(1)", labels: {instance: "elsewhere:1"}}
"""
QUICK = """
global: {evaluation_interval: 1s}
rule_files: [rules.yml]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A healthy program, attached as ``faulty``."""
    home = tmp_path_factory.mktemp("home")
    with program(home, "-m", "tests.support.faults", "works") as healthy:
        healthy.hear("attached")
        yield home


def diagnose(home: Path, url: str, timeout: str = f"{PATIENCE:g}") -> dict[str, Any]:
    args = ("diagnose", "--window", "300ms", "-o", "json", "--prometheus", url)
    completed = qcfeed(home, "--instance", "faulty", "--timeout", timeout, *args)
    assert completed.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), completed.stderr
    return dict(json.loads(completed.stdout))


@needs_prometheus
def test_prometheus_adds_history_and_its_alerts_are_symptoms(home: Path, tmp_path: Path) -> None:
    """The incident's timeline, shifted to end now; the program's own history is shorter."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "rules.yml").write_text(RULES)
    shifted = incident.series(shift=time.time() - 5 - incident.AT)
    past = openmetrics({**shifted, UP: [(time.time() - 5, 1.0)]})
    with prometheus(tmp_path / "server", config=QUICK, history=past) as server:
        until_firing(server)
        diagnosis = diagnose(home, server.url)
        made = qcfeed(
            home, "--instance", "faulty", "report", "--window", "300ms", "--prometheus", server.url,
            "--bundle", f"{tmp_path}/night.tar.gz", "-o", "markdown",
        )  # fmt: skip
    alerts, growth = (
        qcfeed(tmp_path, command, "--from", f"{tmp_path}/night.tar.gz", "-o", "json")
        for command in ("alerts", "growth")
    )
    (worst,) = of_the_program(
        diagnosis["findings"]
    )  # what fires for another service is not diagnosis
    assert worst["rule"] == "memory_growth"
    assert [each["rule"] for each in worst["symptoms"]] == ["QcfeedMemoryRunsOut"]
    [history] = [each["result"] for each in diagnosis["checks"] if each["subject"] == "history"]
    # Until now: the last sample counts for five minutes.
    assert re.search(r"2h1[5-9]m, from Prometheus", history)
    assert made.returncode == ExitStatus.OK, made.stderr
    assert "Source: Prometheus." in made.stdout
    assert "| QcfeedMemoryRunsOut | firing |" in made.stdout
    assert alerts.returncode == ExitStatus.FINDINGS, alerts.stderr
    assert "as of " in alerts.stderr
    assert {each["name"] for each in json.loads(alerts.stdout)["alerts"]} == {
        "QcfeedMemoryRunsOut",
        "OfAnother",
    }
    kept = json.loads(growth.stdout)
    assert (kept["source"], len(kept["timeline"]) > 100) == ("prometheus", True)


UP = 'up{job="qcfeed",instance="market-data-prod-1:8006"}'


def until_firing(server: Any) -> None:
    end = time.monotonic() + PATIENCE
    while server.alerts().get("QcfeedMemoryRunsOut") != "firing":
        assert time.monotonic() < end, server.alerts()
        time.sleep(0.05)


PAGE = reply("<html>hello</html>", kind="text/html")


def slow() -> Iterator[bytes]:
    while True:
        yield b" "


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _, __: [PAGE], "does not answer like Prometheus"),
        (lambda _, __: [reply("", status=401)], "401"),
        (
            lambda _, __: [
                reply('{"status":"success","data":{"resultType":"vector","result":[]}}')
            ],
            "",
        ),
        (lambda _, __: slow(), ""),
    ],
    ids=["a page", "not let in", "empty", "slow"],
)
def test_a_prometheus_that_fails_is_named_and_the_verdict_stands(
    home: Path, answer: Any, why: str
) -> None:
    with serving(answer) as url:
        diagnosis = diagnose(home, url, "5")  # one that is slow is so for ever
    assert of_the_program(diagnosis["findings"]) == []
    [untold] = [each for each in diagnosis["skipped"] if each.startswith("Prometheus: ")]
    assert why in untold


def test_a_prometheus_that_is_down_or_not_configured_is_named(home: Path) -> None:
    diagnosis = diagnose(home, "http://127.0.0.1:9")
    assert any(each.startswith("Prometheus: ") for each in diagnosis["skipped"])
    completed = qcfeed(home, "--instance", "faulty", "diagnose", "--window", "100ms")
    assert completed.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), completed.stderr
    assert "Prometheus: not configured (--prometheus URL)" in completed.stdout


def test_an_invalid_prometheus_url_is_refused_at_once(home: Path) -> None:
    args = ("diagnose", "--window", "1h", "--prometheus-key", "a", "--prometheus", "http://x:1")
    completed = qcfeed(home, "--instance", "faulty", *args)
    assert completed.returncode == ExitStatus.USAGE
    assert "--prometheus-key needs --prometheus-cert" in completed.stderr
