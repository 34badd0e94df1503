"""What a team takes over into its monitoring: rules, dashboard, and configurations to begin with.

The files are in qcfeed/artifacts/, and come with the wheel. rules.yml and dashboard.json are written
from the catalog (``make generate``), the others by hand.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from qcfeed import shipped
from qcfeed.metrics import rules
from qcfeed.metrics.catalog.alerts import RUNBOOKS


class Artifact(StrEnum):
    """Each artifact by the name that it is asked for with."""

    RULES = "rules"
    DASHBOARD = "dashboard"
    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    COMPOSE = "compose"
    GRAFANA_DATASOURCE = "grafana-datasource"
    GRAFANA_DASHBOARDS = "grafana-dashboards"

    @property
    def file(self) -> str:
        """The name of its file; the files name each other by these."""
        return FILES[self]

    @property
    def about(self) -> str:
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
    Artifact.RULES: "Prometheus' recording and alerting rules",
    Artifact.DASHBOARD: "the Grafana dashboard, to import or to provision",
    Artifact.PROMETHEUS: "a Prometheus that scrapes one service on this machine",
    Artifact.ALERTMANAGER: "an Alertmanager that tells one receiver",
    Artifact.COMPOSE: "both of them and Grafana, for docker compose",
    Artifact.GRAFANA_DATASOURCE: "Grafana's way to that Prometheus",
    Artifact.GRAFANA_DASHBOARDS: "where that Grafana finds the dashboard",
}


def text(artifact: Artifact, *, runbooks: str = RUNBOOKS, faster: int = 1) -> str:
    """What the file says. ``runbooks`` and ``faster`` are for the rules (``rules.render``)."""
    if artifact is Artifact.RULES:
        return rules.render(runbooks=runbooks, faster=faster)
    return Path(shipped.directory("artifacts"), artifact.file).read_text(encoding="utf-8")
