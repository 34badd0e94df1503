"""`qcfeed growth` about a real service: scraped by a real Prometheus, and by its own memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.prometheus_server import needs_prometheus, prometheus
from tests.support.shell import qcfeed, serving, until

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: qcfeed
    static_configs: [{{targets: ["{target}"]}}]
"""


def last(answer: dict[str, Any]) -> dict[str, Any]:
    return dict(answer["timeline"][-1]) if answer else {}


def until_orphans(told: Callable[..., dict[str, Any]], *args: str) -> dict[str, Any]:
    """The first answer with all zombies in it; the first scrape may come before them."""
    answer: dict[str, Any] = {}

    def is_whole() -> bool:
        answer.clear()
        answer.update(told(*args))
        return last(answer).get("orphaned") == 300

    until(is_whole, "an answer with the zombies in it")
    return answer


@needs_prometheus
def test_what_is_scraped_and_what_is_remembered_agree(tmp_path: Path) -> None:
    def told(*args: str) -> dict[str, Any]:
        left = qcfeed(tmp_path, "growth", "-o", "json", *args)
        return dict(json.loads(left.stdout)) if left.stdout else {}

    with serving(tmp_path, "--no-monitor", "--drill", "zombie-feeds=300") as service:
        target = service.url.partition("//")[2]
        with prometheus(tmp_path / "server", config=CONFIG.format(target=target)) as server:
            scraped, remembered = (
                until_orphans(told, *args) for args in (("--prometheus", server.url), ())
            )
    assert (scraped["source"], remembered["source"]) == ("prometheus", "service")
    assert scraped["target"] == f"qcfeed/{target}"
    assert last(scraped)["orphaned"] == 300
    assert scraped["limit_bytes"] == remembered["limit_bytes"]
    for answer in (scraped, remembered):
        moment = last(answer)
        assert moment["live"] >= 300
        assert moment["subscriptions"] == 0
        assert 1 << 24 < moment["resident_bytes"] < answer["limit_bytes"]
        most = max(answer["locations"], key=lambda row: row["live"])
        assert (most["location"].partition(":")[0], most["live"]) == (
            "qcfeed/drills/zombies.py",
            300,
        )
