"""Checks of Prometheus: it answers, scrapes this service, has the rules of this version, its clock agrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcfeed import rfc3339
from qcfeed.doctor.check import Case, CheckFailedError, Skip
from qcfeed.errors import ConfigError, PrometheusError
from qcfeed.metrics.catalog.alerts import ALERTS
from qcfeed.metrics.catalog.recordings import RECORDINGS
from qcfeed.metrics.prometheus_answers import BuildData, RuleData, RulesData

STARTUP = 60.0
"""The most seconds between the start of a process and the start of the service in it."""

NAMES_SHOWN = 5
"""The number of rules to name in a sentence; the rest is counted."""


def reachable(case: Case) -> str:
    """The configured URL answers as Prometheus does."""
    try:
        server = _server(case)
        version = server.fetch("/api/v1/status/buildinfo", BuildData).version
    except (PrometheusError, ConfigError):
        case.prometheus_answers = False
        raise
    return f"{server.url}, version {version}"


def scraped(case: Case) -> str:
    """A process that Prometheus scrapes is this service: it started at the same time."""
    service, server = case.service, _server(case)
    started = rfc3339.unix(service.started_at)
    found = server.instant("process_start_time_seconds", server.now())
    for series in found:
        if series.samples and 0 <= started - series.samples[-1][1] < STARTUP:
            return f"this service is scraped as {_target(series.labels)}"
    others = ", ".join(sorted(_target(series.labels) for series in found)) or "nothing"
    raise CheckFailedError(
        f"Prometheus does not scrape this service; it scrapes {others}",
        hint=f"add {service.listening.admin} to the targets in prometheus.yml and reload it;"
        f" `curl {service.listening.admin_url}/metrics` shows the metrics;"
        " `qcfeed runbook QcfeedTargetMissing`",
    )


def rules(case: Case) -> str:
    """Every rule of this version is loaded, with the same expression, and can be evaluated."""
    server = _server(case)
    found = server.fetch("/api/v1/rules", RulesData)
    loaded = {_key(rule): rule for rule in found.rules()}
    shipped = {
        **{each.name: (each.expr, each.hold) for each in ALERTS},
        **{_named(each.name, each.labels): (each.expr, "") for each in RECORDINGS},
    }
    if missing := [name for name in shipped if name not in loaded]:
        raise CheckFailedError(
            f"{len(missing)} of {len(shipped)} rules are not loaded: {_some(missing)}", hint=_HINT
        )
    changed = [
        name
        for name, (expr, hold) in shipped.items()
        if not _same(server, expr, hold, loaded[name])
    ]
    if changed:
        raise CheckFailedError(
            f"{len(changed)} rules differ from those shipped: {_some(changed)}", hint=_HINT
        )
    failing = [f"{name} ({rule.last_error})" for name, rule in loaded.items() if rule.last_error]
    if failing:
        raise CheckFailedError(f"rules fail: {_some(failing)}", hint=f"see {server.url}/rules")
    return f"all {len(shipped)} rules are loaded, as shipped"


def clock(case: Case) -> str:
    """The clocks of Prometheus and of this machine agree."""
    server = _server(case)
    if skew := server.skew:
        raise CheckFailedError(
            f"Prometheus' clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}",
            hint="`timedatectl` on both machines",
        )
    return "Prometheus' clock agrees with this machine's"


_HINT = (
    "load the rules of this version: `qcfeed artifacts rules > qcfeed.rules.yml`, add the file to"
    " rule_files in prometheus.yml, then reload it"
)


def _server(case: Case) -> Any:
    """A client of Prometheus. Raises Skip if none is configured or it has not answered before."""
    if not case.prometheus_answers:
        raise Skip("Prometheus does not answer")
    settings = case.prometheus()
    if not settings.prometheus:
        raise Skip(
            "no Prometheus configured", "--prometheus http://HOST:9090, or QCFEED_PROMETHEUS"
        )
    from qcfeed.metrics.prometheus import Prometheus  # imported here: it takes 100 ms

    return Prometheus(settings, timeout=case.timeout)


def _same(server: Any, expr: str, hold: str, rule: RuleData) -> bool:
    """Whether a loaded rule equals the shipped one, after Prometheus has formatted both."""
    if hold and (rule.duration or 0.0) != _seconds(hold):
        return False
    if "".join(expr.split()) == "".join(rule.query.split()):
        return True
    try:
        return bool(_formatted(server, expr) == _formatted(server, rule.query))
    except PrometheusError as error:
        raise Skip(
            "this Prometheus is too old to compare rules: it cannot format queries (before 2.40)"
        ) from error


def _key(rule: RuleData) -> str:
    """What identifies a rule: an alert's name; a recording's name and labels, as several write one
    metric."""
    return rule.name if rule.type == "alerting" else _named(rule.name, rule.labels or {})


def _named(name: str, labels: Mapping[str, str]) -> str:
    text = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"{name}{{{text}}}" if text else name


def _formatted(server: Any, expr: str) -> str:
    return str(server.fetch("/api/v1/format_query", str, query=expr))


def _seconds(hold: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    return float(hold[:-1]) * units[hold[-1]]


def _target(labels: Mapping[str, str]) -> str:
    return f"{labels.get('job', '')}/{labels.get('instance', '')}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
