"""What Prometheus knows: that it answers, scrapes this very service, and has the rules of this version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from qcfeed.doctor.check import Case, FaultError, Skip
from qcfeed.errors import ConfigError, PrometheusError
from qcfeed.metrics.catalog.alerts import ALERTS
from qcfeed.metrics.catalog.recordings import RECORDINGS

STARTING = 60.0
"""Seconds that may lie between a process' beginning and its service's."""

NAMED = 5
"""Rules that are named in a sentence; more are counted."""


def reachable(case: Case) -> str:
    """Prometheus is there, and is Prometheus."""
    try:
        server = _server(case)
        version = server.fetch("/api/v1/status/buildinfo")["version"]
    except (PrometheusError, ConfigError):
        case.prometheus_answers = False
        raise
    return f"{server.url}, version {version}"


def scraped(case: Case) -> str:
    """The process that it scrapes is the one that answers here, by when it began."""
    service, server = case.service, _server(case)
    began = datetime.fromisoformat(service.started_at).timestamp()
    found = server.instant("process_start_time_seconds", server.now())
    for series in found:
        if 0 <= began - series.samples[-1][1] < STARTING:
            return f"it scrapes this service as {_target(series.labels)}"
    others = ", ".join(sorted(_target(series.labels) for series in found)) or "nothing"
    raise FaultError(
        f"Prometheus does not scrape this service; it scrapes {others}",
        hint=f"add {service.listening.admin} to the targets in prometheus.yml, then reload it;"
        f" `curl http://{service.listening.admin}/metrics` shows what it would get;"
        " `qcfeed runbook QcfeedTargetMissing`",
    )


def rules(case: Case) -> str:
    """Every rule of this version's catalog is loaded, and says the same."""
    server = _server(case)
    groups = server.fetch("/api/v1/rules")["groups"]
    loaded = {_key(rule): rule for group in groups for rule in group["rules"]}
    shipped = {
        **{each.name: (each.expr, each.hold) for each in ALERTS},
        **{_named(each.name, each.labels): (each.expr, "") for each in RECORDINGS},
    }
    if missing := [name for name in shipped if name not in loaded]:
        raise FaultError(
            f"{len(missing)} of {len(shipped)} rules are not loaded: {_some(missing)}", hint=_HINT
        )
    other = [
        name
        for name, (expr, hold) in shipped.items()
        if not _same(server, expr, hold, loaded[name])
    ]
    if other:
        raise FaultError(f"{len(other)} rules say other than shipped: {_some(other)}", hint=_HINT)
    failing = [
        f"{name} ({rule['lastError']})" for name, rule in loaded.items() if rule.get("lastError")
    ]
    if failing:
        raise FaultError(f"rules fail: {_some(failing)}", hint=f"see {server.url}/rules")
    return f"all {len(shipped)} rules are loaded, as shipped"


def clock(case: Case) -> str:
    """Its clock and this machine's tell the same time."""
    server = _server(case)
    if skew := server.skew:
        raise FaultError(
            f"Prometheus' clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}",
            hint="`timedatectl` on both machines",
        )
    return "Prometheus' clock tells the same time"


_HINT = (
    "load the rules of this version: `qcfeed artifacts rules > qcfeed.rules.yml`, rule_files in"
    " prometheus.yml, then reload it"
)


def _server(case: Case) -> Any:
    """Prometheus, with the time of one check. Raises Skip when none was named."""
    if not case.prometheus_answers:
        raise Skip("Prometheus does not answer")
    named = case.prometheus()
    if not named.prometheus:
        raise Skip("no Prometheus was named", "--prometheus http://HOST:9090, or QCFEED_PROMETHEUS")
    from qcfeed.metrics.prometheus import Prometheus  # 100 ms

    return Prometheus(named, timeout=case.timeout)


def _same(server: Any, expr: str, hold: str, rule: Mapping[str, Any]) -> bool:
    """Compared as Prometheus itself writes them: it has parsed the one, so it parses the other."""
    if hold and float(rule.get("duration", 0)) != _seconds(hold):
        return False
    if "".join(expr.split()) == "".join(rule["query"].split()):
        return True
    try:
        return bool(_formatted(server, expr) == _formatted(server, rule["query"]))
    except PrometheusError as error:
        raise Skip(
            "this Prometheus is too old to compare rules by their meaning (before 2.40)"
        ) from error


def _key(rule: Mapping[str, Any]) -> str:
    """An alert by its name; a recording by its labels too, as several write one metric."""
    name = str(rule["name"])
    return name if rule["type"] == "alerting" else _named(name, rule.get("labels", {}))


def _named(name: str, labels: Mapping[str, str]) -> str:
    told = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"{name}{{{told}}}" if told else name


def _formatted(server: Any, expr: str) -> str:
    return str(server.fetch("/api/v1/format_query", query=expr))


def _seconds(hold: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    return float(hold[:-1]) * units[hold[-1]]


def _target(labels: Mapping[str, str]) -> str:
    return f"{labels.get('job', '')}/{labels.get('instance', '')}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
