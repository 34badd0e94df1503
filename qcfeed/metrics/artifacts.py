"""Files for a team's monitoring: Prometheus rules, the dashboard, and example configurations.

They are in qcfeed/artifacts/ and are part of the wheel. rules.yml and dashboard.json are generated from
the catalog (``make generate``); the others are written by hand.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from qcfeed import shipped
from qcfeed.metrics import rules
from qcfeed.metrics.catalog.alerts import RUNBOOKS


class Artifact(StrEnum):
    """The artifacts, by the name that ``qcfeed artifacts`` takes."""

    RULES = "rules"
    DASHBOARD = "dashboard"
    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    COMPOSE = "compose"
    GRAFANA_DATASOURCE = "grafana-datasource"
    GRAFANA_DASHBOARDS = "grafana-dashboards"

    @property
    def file(self) -> str:
        """The name of its file. The files refer to each other by these names."""
        return FILES[self]

    @property
    def about(self) -> str:
        """What the file is, for help texts."""
        return ABOUT[self]


FILES = {
    Artifact.RULES: "rules.yml",
    Artifact.DASHBOARD: "dashboard.json",
    Artifact.PROMETHEUS: "prometheus.yml",
    Artifact.ALERTMANAGER: "alertmanager.yml",
    Artifact.COMPOSE: "docker-compose.yml",
    Artifact.GRAFANA_DATASOURCE: "grafana-datasource.yml",
    Artifact.GRAFANA_DASHBOARDS: "grafana-dashboards.yml",
}
ABOUT = {
    Artifact.RULES: "recording and alerting rules for Prometheus",
    Artifact.DASHBOARD: "the Grafana dashboard, to import or provision",
    Artifact.PROMETHEUS: "configuration of a Prometheus that scrapes one local service",
    Artifact.ALERTMANAGER: "configuration of an Alertmanager with one receiver",
    Artifact.COMPOSE: "Docker Compose file for Prometheus, Alertmanager and Grafana",
    Artifact.GRAFANA_DATASOURCE: "Grafana's data source: that Prometheus",
    Artifact.GRAFANA_DASHBOARDS: "Grafana's provisioning of the dashboard",
}


def text(artifact: Artifact, *, runbooks: str = RUNBOOKS, faster: int = 1) -> str:
    """The content of the file. ``runbooks`` and ``faster`` apply to the rules (``rules.render``)."""
    if artifact is Artifact.RULES:
        return rules.render(runbooks=runbooks, faster=faster)
    return Path(shipped.directory("artifacts"), artifact.file).read_text(encoding="utf-8")
