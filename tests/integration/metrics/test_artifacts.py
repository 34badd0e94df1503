"""What is shipped is taken by who is to read it: promtool, amtool, Grafana's types, compose."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from qcfeed.metrics import rules
from qcfeed.metrics.artifacts import Artifact, text
from qcfeed.metrics.catalog.alerts import ALERTS
from qcfeed.metrics.catalog.panels import ROWS
from qcfeed.metrics.catalog.recordings import Recording
from tests.support.alertmanager import needs_alertmanager
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import needs_prometheus


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for artifact in Artifact:
        (tmp_path / artifact.file).write_text(text(artifact))
    return tmp_path


def judge(*command: str | Path) -> None:
    said = subprocess.run(command, capture_output=True, text=True, timeout=5 * PATIENCE)
    assert said.returncode == 0, said.stdout + said.stderr


@needs_prometheus
def test_prometheus_accepts_its_configuration_and_rules(written: Path) -> None:
    judge("promtool", "check", "config", "--lint=all", "--lint-fatal", written / "prometheus.yml")


@needs_prometheus
@pytest.mark.parametrize("faster", [7, 3_600])
def test_prometheus_accepts_the_rules_of_a_rehearsal(written: Path, faster: int) -> None:
    (written / "rules.yml").write_text(rules.render(faster=faster))
    judge("promtool", "check", "config", written / "prometheus.yml")


@needs_alertmanager
def test_alertmanager_accepts_its_configuration(written: Path) -> None:
    judge("amtool", "check-config", written / "alertmanager.yml")


@needs_alertmanager
def test_every_alert_reaches_a_receiver(written: Path) -> None:
    for alert in ALERTS:
        said = subprocess.run(
            ["amtool", "config", "routes", "test", f"--config.file={written / 'alertmanager.yml'}",
             f"alertname={alert.name}", f"severity={alert.severity}"],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert said.stdout.strip() == "on-call", said.stderr


def test_inhibit_rules_name_alerts_of_the_catalog() -> None:
    names = {alert.name for alert in ALERTS}
    config = yaml.safe_load(text(Artifact.ALERTMANAGER))
    for rule in config["inhibit_rules"]:
        [source] = rule["source_matchers"]
        wanted = re.compile(source.split('"')[1])
        assert any(wanted.fullmatch(name) for name in names)


# ---------------------------------------------------------------- the dashboard


def board() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(text(Artifact.DASHBOARD))
    return made


def test_grafana_s_own_types_read_it_and_lose_nothing() -> None:
    made = Dashboard.from_json(board())
    assert json.loads(json.dumps(made, cls=JSONEncoder)) == board()


def test_every_panel_exists_once_with_queries_and_does_not_overlap() -> None:
    panels = _panels()
    assert [each["title"] for each in panels] == [each.title for row in ROWS for each in row.panels]
    numbers = [each["id"] for each in board()["panels"]]
    assert len(set(numbers)) == len(numbers)
    places = set()
    for each in board()["panels"]:
        at = each["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in places, each["title"]
                assert x < 24
                places.add((x, y))
    for each in panels:
        assert each["options"]
        assert all("$instance" in target["expr"] for target in each["targets"])


GRAFANA_UNITS = {"short", "s", "bytes", "percentunit", "ops", "bool_yes_no"}
"""Those of Grafana's unit identifiers that are used. It shows any other text as a suffix, without an error."""


def test_units_are_identifiers_of_grafana() -> None:
    fields = [each["fieldConfig"] for each in _panels()]
    units = {each["defaults"]["unit"] for each in fields}
    for override in (override for each in fields for override in each["overrides"]):
        units |= {each["value"] for each in override["properties"] if each["id"] == "unit"}
    assert units == GRAFANA_UNITS


def test_a_large_number_shows_the_present_value_and_lines_show_a_range() -> None:
    for each in _panels():
        present = each["type"] == "stat"
        for target in each["targets"]:
            assert (target["instant"], target["range"]) == (present, not present), each["title"]


def test_a_query_that_is_0_or_1_shows_no_or_yes_beside_a_panel_of_another_unit() -> None:
    shown = {
        (each["title"], each["targets"]["ABCDEFGH".index(override["matcher"]["options"])]["expr"])
        for each in _panels()
        for override in each["fieldConfig"]["overrides"]
    }
    flags = {
        (panel.title, query.expr)
        for row in ROWS
        for panel in row.panels
        for query in panel.queries
        if query.flag
    }
    assert shown == flags != set()


def _panels() -> list[dict[str, Any]]:
    return [each for each in board()["panels"] if each["type"] != "row"]


def test_alerts_are_marked_and_an_instance_can_be_chosen() -> None:
    made = board()
    [annotation] = made["annotations"]["list"]
    assert annotation["expr"].startswith("ALERTS{")
    assert [each["name"] for each in made["templating"]["list"]] == ["datasource", "instance"]


def test_every_alert_is_linked_from_a_panel_to_its_runbook() -> None:
    linked = {alert.name for row in ROWS for panel in row.panels for alert in panel.alerts}
    assert linked == {alert.name for alert in ALERTS}
    urls = {link["url"] for panel in board()["panels"] for link in panel.get("links", ())}
    assert {url.rpartition("/")[2] for url in urls} == {alert.runbook for alert in ALERTS}


@needs_prometheus
def test_prometheus_accepts_the_query_of_every_panel(tmp_path: Path) -> None:
    asked = [query.expr for row in ROWS for panel in row.panels for query in panel.queries]
    recordings = [
        Recording(f"panel:{n}", expr.replace("$__rate_interval", "1m"), "")
        for n, expr in enumerate(asked)
    ]
    (tmp_path / "panels.yml").write_text(rules.render([], recordings))
    judge("promtool", "check", "rules", tmp_path / "panels.yml")


# ---------------------------------------------------------------- compose


def test_compose_mounts_files_that_are_shipped_and_listens_on_loopback_only() -> None:
    made = yaml.safe_load(text(Artifact.COMPOSE))
    mounts = [each for service in made["services"].values() for each in service["volumes"]]
    files = {each.split(":")[0][2:] for each in mounts if each.startswith("./")}
    assert files == {artifact.file for artifact in Artifact} - {"docker-compose.yml"}
    kept = {each.split(":")[0] for each in mounts if not each.startswith("./")}
    assert kept == set(made["volumes"])
    prometheus, alertmanager, grafana = made["services"].values()
    for service in (prometheus, alertmanager):
        assert any(
            each.startswith("--web.listen-address=127.0.0.1:") for each in service["command"]
        )
    assert grafana["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_the_files_name_each_other_s_places() -> None:
    """Grafana asks the Prometheus of the compose file; that tells its Alertmanager."""
    compose = text(Artifact.COMPOSE)
    assert (
        "127.0.0.1:9090"
        in yaml.safe_load(text(Artifact.GRAFANA_DATASOURCE))["datasources"][0]["url"]
    )
    [target] = yaml.safe_load(text(Artifact.PROMETHEUS))["alerting"]["alertmanagers"][0][
        "static_configs"
    ][0]["targets"]
    assert f"--web.listen-address={target}" in compose
    provider = yaml.safe_load(text(Artifact.GRAFANA_DASHBOARDS))["providers"][0]
    assert f"{provider['options']['path']}/dashboard.json" in compose


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="docker's compose plugin is not installed: the file is read as YAML only",
)
def test_docker_compose_accepts_the_file(written: Path) -> None:
    judge("docker", "compose", "-f", written / "docker-compose.yml", "config", "--quiet")
