"""A real Prometheus (Debian's), with a past of one's own and rules of one's own.

    with prometheus(tmp_path, history=openmetrics({'up{job="x"}': [(at, 1.0)]})) as server:
        server.query("up", at=at)

It is ready in under 0.1 s; its first scrape comes about 6 s after its start, whatever the interval.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import daemon
from tests.support.patience import PATIENCE

needs_prometheus = daemon.needs("prometheus", "promtool")
"""Mark of tests that start one, or ask promtool."""
QUIET = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
"""A configuration that scrapes nothing."""

Series = Mapping[str, Iterable[tuple[float, float]]]
"""Samples (Unix seconds, value), by name and labels as in ``up{job="x"}``."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    url: str

    def get(self, path: str, **params: object) -> Any:
        """The ``data`` of an answer of its HTTP API; ``path`` as in ``query``."""
        query = urllib.parse.urlencode(params)
        with urllib.request.urlopen(
            f"{self.url}/api/v1/{path}?{query}", timeout=PATIENCE
        ) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """An instant query's result; ``at`` in Unix seconds, now if not given."""
        time = {} if at is None else {"time": at}
        result: list[dict[str, Any]] = self.get("query", query=expr, **time)["result"]
        return result

    def value(self, expr: str, at: float | None = None) -> float | None:
        """The one value of an instant query; None where there is none."""
        result = self.query(expr, at)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def alerts(self) -> dict[str, str]:
        """Alerts that are pending or firing: their state by name."""
        return {each["labels"]["alertname"]: each["state"] for each in self.get("alerts")["alerts"]}


def openmetrics(series: Series) -> str:
    """``series`` as promtool reads them: a metric's lines together, then ``# EOF``."""
    lines = [
        f"{name} {value} {at}"
        for name in sorted(series, key=lambda name: name.partition("{")[0])
        for at, value in series[name]
    ]
    return "\n".join([*lines, "# EOF", ""])


def backfill(directory: Path, history: str) -> None:
    """Write ``history`` (``openmetrics``) as blocks for a Prometheus that has not started yet."""
    seed = directory / "seed.om"
    seed.write_text(history)
    data = directory / "data"
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", str(seed), str(data)],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )


@contextlib.contextmanager
def prometheus(
    directory: Path, *, config: str = QUIET, history: str | None = None, web: str | None = None
) -> Iterator[Prometheus]:
    """One on loopback until the end of the block. ``config``: a prometheus.yml, whose relative paths
    are ``directory``'s; ``history``: what it has seen already, of whatever age; ``web``: a web.yml, by
    which it asks who is there."""
    directory.mkdir(parents=True, exist_ok=True)
    if history is not None:
        backfill(directory, history)
    (directory / "prometheus.yml").write_text(config)
    command = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--storage.tsdb.retention.time=100y",  # or blocks of the past vanish at the start
        "--web.listen-address=127.0.0.1:0",
    ]
    if web is not None:
        (directory / "web.yml").write_text(web)
        command.append(f"--web.config.file={directory / 'web.yml'}")
    with daemon.running(command, directory / "prometheus.log") as url:
        yield Prometheus(url)
