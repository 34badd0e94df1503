"""From a leaking task to somebody's pager and back: the service, Prometheus, Alertmanager, a webhook.

The files are those that are shipped, with addresses from the kernel and shorter times: ``artifacts
--faster 30`` makes two minutes four seconds, and Prometheus looks every second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from qcfeed.metrics import rules
from qcfeed.metrics.catalog import alerts
from tests.support.alertmanager import Webhook, alertmanager, needs_alertmanager, webhook
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import Prometheus, needs_prometheus, prometheus
from tests.support.shell import Serving, serving
from tests.support.shell import qcfeed as run
from tests.support.websockets_client import connect

pytestmark = [needs_prometheus, needs_alertmanager]

FASTER = 30
ZOMBIES = 200
ORPHANS, GROWTH = alerts.ORPHANED_TASKS.name, alerts.TASK_GROWTH.name


@dataclass(frozen=True, slots=True)
class Chain:
    """All of it, running."""

    home: Path
    service: Serving
    prometheus: Prometheus
    webhook: Webhook

    def leak(self) -> None:
        """One subscriber comes and goes; the drill's task for it stays."""
        with connect(f"{self.service.url}/quotes/AAPL") as client:
            client.recv(timeout=PATIENCE)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Leak until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.prometheus.alerts()}"
            self.leak()
            time.sleep(0.1)


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    files = tmp_path / "monitoring"
    assert (
        run(tmp_path, "artifacts", "--write", str(files), "--faster", str(FASTER)).returncode == 0
    )
    with ExitStack() as running:
        heard = running.enter_context(webhook())
        told = (files / "alertmanager.yml").read_text()
        assert "http://127.0.0.1:8099/alerts" in told
        told = told.replace("http://127.0.0.1:8099/alerts", heard.url)
        manager = running.enter_context(alertmanager(files, rules.shorten(told, FASTER)))
        service = running.enter_context(serving(tmp_path, "--drill", f"zombie-feeds={ZOMBIES}"))
        scraped = (files / "prometheus.yml").read_text()
        for shipped, here in (("127.0.0.1:8006", service.url), ("127.0.0.1:9093", manager)):
            assert shipped in scraped
            scraped = scraped.replace(shipped, here.partition("//")[2])
        asked = prometheus(files, config=rules.shorten(scraped, FASTER // 2))
        yield Chain(tmp_path, service, running.enter_context(asked), heard)


def test_a_leak_fires_an_alert_that_resolves_at_its_end(chain: Chain) -> None:
    asked = chain.prometheus
    chain.until(lambda: asked.alerts().get(ORPHANS) == "pending", "orphans are pending first")
    chain.until(lambda: asked.alerts().get(ORPHANS) == "firing", "orphans fire")
    chain.until(lambda: asked.alerts().get(GROWTH) == "firing", "growth fires")

    told = chain.webhook.hear(ORPHANS, "firing")
    assert told["labels"]["severity"] == "warning"
    assert "tasks no longer have an owner on 127.0.0.1:" in told["annotations"]["summary"]
    assert told["annotations"]["command"] == "qcfeed orphans"
    assert told["annotations"]["runbook_url"].endswith(f"/runbooks/{ORPHANS}.md")
    assert (
        "per minute on 127.0.0.1:" in chain.webhook.hear(GROWTH, "firing")["annotations"]["summary"]
    )
    assert (asked.value("tokio_spawned_tasks_total") or 0) > ZOMBIES, "the old dashboard draws"

    command = told["annotations"]["command"].split()[1:]
    assert run(chain.home, *command).returncode == ExitStatus.FINDINGS
    reaped = run(chain.home, *command, "--reap")
    assert reaped.returncode == ExitStatus.OK, reaped.stderr

    assert chain.webhook.hear(ORPHANS, "resolved")["startsAt"] == told["startsAt"]
    chain.webhook.hear(GROWTH, "resolved")
    assert asked.value('sum(qcfeed_tasks_orphaned{job="qcfeed"})') == 0
