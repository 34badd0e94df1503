"""`qcfeed doctor` with a real service and a real Prometheus, sound and with faults planted."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.metrics.rules import render
from tests.support.prometheus_server import needs_prometheus, prometheus
from tests.support.shell import Serving, qcfeed, serving, sound, until

CONFIG = """\
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
  - job_name: qcfeed
    static_configs: [{targets: ["%s"]}]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, "--no-monitor") as service:
        yield service


def checks(home: Path, url: str) -> dict[str, dict[str, str]]:
    """What each check says, with this Prometheus."""
    left = qcfeed(home, "doctor", "--prometheus", url, "-o", "json", QCFEED_PORT="0")
    assert left.stdout, left.stderr
    return {each["check"]: each for each in json.loads(left.stdout)["checks"]}


@needs_prometheus
def test_a_prometheus_that_scrapes_this_service_with_the_shipped_rules(
    service: Serving, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "rules.yml").write_text(render())
    config = CONFIG % service.url.removeprefix("ws://")
    with prometheus(tmp_path, config=config) as server:
        until(lambda: bool(server.query("up == 1")), "a scrape")
        left = sound(lambda: qcfeed(home, "doctor", "--prometheus", server.url, QCFEED_PORT="0"))
    assert left.stderr == "17 passed\n"
    assert "this service is scraped as qcfeed/127.0.0.1:" in left.stdout
    assert "rules are loaded, as shipped" in left.stdout


@needs_prometheus
def test_a_prometheus_that_scrapes_another_service_with_other_rules(
    service: Serving, home: Path, tmp_path: Path
) -> None:
    one = render().replace("for: 5m", "for: 6m", 1)
    rules = one.rpartition("      - alert: ")[0]
    lost = render().rpartition("      - alert: ")[2].partition("\n")[0]
    (tmp_path / "rules.yml").write_text(rules)
    with (
        serving(tmp_path, "--no-monitor") as other,
        prometheus(tmp_path, config=CONFIG % other.url.removeprefix("ws://")) as server,
    ):
        until(lambda: bool(server.query("up == 1")), "a scrape")
        said = checks(home, server.url)
    assert said["prometheus"]["outcome"] == "passed"
    assert said["scraped"]["outcome"] == "failed"
    assert "it scrapes qcfeed/127.0.0.1:" in said["scraped"]["detail"]
    assert service.url.removeprefix("ws://") in said["scraped"]["next"]
    assert said["rules"]["outcome"] == "failed"
    assert f"1 of {render().count('expr:')} rules are not loaded: {lost}" in said["rules"]["detail"]


@needs_prometheus
@pytest.mark.parametrize(
    ("before", "after"), [("for: 5m", "for: 6m"), (" > 0", " > 1"), (" < ", " <= ")]
)
def test_rules_that_say_something_else(
    service: Serving, home: Path, tmp_path: Path, before: str, after: str
) -> None:
    text = render()
    assert before in text
    (tmp_path / "rules.yml").write_text(text.replace(before, after, 1))
    with prometheus(tmp_path, config=CONFIG % "127.0.0.1:1") as server:
        said = checks(home, server.url)["rules"]
    assert said["outcome"] == "failed"
    assert "1 rules differ from those shipped" in said["detail"]


def test_a_prometheus_that_is_none_or_not_there(service: Serving, home: Path) -> None:
    said = checks(home, "http://127.0.0.1:1")
    assert said["prometheus"]["outcome"] == "failed"
    assert "does not answer: Connection refused" in said["prometheus"]["detail"]
    for name in ("scraped", "rules", "prometheus clock"):
        assert (said[name]["outcome"], said[name]["detail"]) == (
            "skipped", "Prometheus does not answer",
        )  # fmt: skip
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as stranger:
        thread = threading.Thread(target=stranger.serve_forever)
        thread.start()
        try:
            said = checks(home, f"http://127.0.0.1:{stranger.server_port}")
        finally:
            stranger.shutdown()
            thread.join()
    assert "does not answer like Prometheus" in said["prometheus"]["detail"]
