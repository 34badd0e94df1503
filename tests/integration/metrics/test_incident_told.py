"""When each alert would have fired that night: promtool computes it, and every page must say just that."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from qcfeed.metrics import rules
from qcfeed.metrics.catalog.alerts import ALERTS
from tests.integration.metrics.alert_cases import INCIDENT, QUIET_BEFORE, Values, name
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import needs_prometheus

pytestmark = needs_prometheus

ROOT = Path(__file__).parents[3]
STEP = 15
"""Seconds from one evaluation to the next, as the shipped prometheus.yml has it."""
NOTICED = 135 * 60
"""02:15, in seconds after midnight."""

Firings = dict[str, int | None]
"""Seconds after midnight, by alert; None: not before 02:15."""


def first_firings(directory: Path, series: Values) -> Firings:
    """promtool is told that nothing ever fires, and says at which evaluations that is wrong."""
    (directory / "rules.yml").write_text(rules.render())
    began = QUIET_BEFORE * 60
    told = [alert.name for alert in ALERTS if alert.name != "QcfeedTargetMissing"]
    unit = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [
                    {"series": name(metric), "values": values} for metric, values in series.items()
                ],
                "promql_expr_test": [
                    {"expr": firing(alert), "eval_time": f"{began + at}s", "exp_samples": []}
                    for alert in told
                    for at in range(0, NOTICED + STEP, STEP)
                ],
            }
        ],
    }
    (directory / "tests.yml").write_text(json.dumps(unit))
    said = subprocess.run(
        ["promtool", "test", "rules", directory / "tests.yml"],
        capture_output=True, text=True, timeout=5 * PATIENCE,
    )  # fmt: skip
    found: Firings = dict.fromkeys(told)
    wrong = re.findall(r'alertname=\\"(\w+)\\".+?, time: (\w+),', said.stdout + said.stderr)
    for alert, at in reversed(wrong):
        found[alert] = seconds(at) - began
    return found


def firing(alert: str) -> str:
    return f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'


def seconds(told: str) -> int:
    """The seconds of a duration in Go's format: ``1h8m45s``."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([hms])", told))


def clock(at: int) -> str:
    return f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}"


def before(at: int) -> str:
    """How long before 02:15, to the minute."""
    hours, minutes = divmod(round((NOTICED - at) / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def faults_of_the_page(text: str, computed: Firings) -> list[str]:
    """What a table says otherwise than it was: alert, time, how long before the page of that night."""
    rows = re.findall(r"^\| \[(Qcfeed\w+)\]\(\1\.md\) \| (.+?) \| (.*?) ?\|$", text, re.MULTILINE)
    right = {
        alert: ("not before 02:15, where the table ends", "")
        if at is None
        else (clock(at), before(at))
        for alert, at in computed.items()
    }
    told = {alert: (when, ahead) for alert, when, ahead in rows}
    fired = {alert for alert, at in computed.items() if at is not None}
    wrong = [
        f"{alert}: {said}, not {right[alert]}"
        for alert, said in told.items()
        if said != right[alert]
    ]
    return wrong + [f"{alert} fired, and is not told" for alert in sorted(fired - told.keys())]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Firings:
    return first_firings(tmp_path_factory.mktemp("night"), INCIDENT)


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "runbooks" / "incident-2024-03-20.md").read_text()


def test_the_page_has_the_times_that_promtool_computes(page: str, computed: Firings) -> None:
    assert faults_of_the_page(page, computed) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("| 00:08:45 |", "| 00:09:00 |"),
        ("| 1 h 00 min |", "| 59 min |"),
        ("| not before 02:15, where the table ends |", "| 02:14:00 |"),
        ("| [QcfeedMemoryRunsOutSoon](QcfeedMemoryRunsOutSoon.md) |", "| soon |"),
    ],
)
def test_a_wrong_or_missing_time_is_detected(
    page: str, computed: Firings, right: str, wrong: str
) -> None:
    assert page.count(right) == 1
    assert len(faults_of_the_page(page.replace(right, wrong), computed)) == 1


def test_a_quiet_night_has_no_alert_times(page: str, tmp_path: Path) -> None:
    calm = {metric: re.split("[+x]", values)[0] + "x780" for metric, values in INCIDENT.items()}
    quiet = first_firings(tmp_path, calm)
    assert set(quiet.values()) == {None}
    assert len(faults_of_the_page(page, quiet)) == 3


def test_the_readme_has_the_same_times_to_the_minute(computed: Firings) -> None:
    told = re.findall(
        r"^\| `(Qcfeed\w+)`.*\| (\d\d:\d\d) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    up = {alert: at + 30 for alert, at in computed.items() if at is not None}
    assert dict(told) == {alert: clock(at)[:5] for alert, at in up.items()}
