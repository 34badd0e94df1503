from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qcfeed import shipped
from qcfeed.diagnose.runbooks import PAGES, page_of
from qcfeed.diagnose.verdict import diagnose
from qcfeed.metrics.catalog.alerts import ALERTS
from qcfeed.model.cluster import ClusterStatus
from tests.support.evidence_builders import healthy, leak, status


@pytest.mark.parametrize("page", sorted({*PAGES.values(), *(alert.name for alert in ALERTS)}))
def test_every_named_runbook_is_shipped(page: str) -> None:
    assert page in shipped.runbooks()


def test_an_alert_has_its_own_page_and_a_rule_without_page_has_none() -> None:
    assert page_of("QcfeedTargetMissing") == "QcfeedTargetMissing"
    assert page_of("exceptions_never_retrieved") == ""


def test_a_diagnosis_names_the_runbook_of_each_finding() -> None:
    diagnosis = diagnose(leak())
    assert [each.runbook for each in diagnosis.findings] == ["QcfeedOrphanedTasks"]


@pytest.mark.parametrize(
    ("side", "page"),
    [
        (None, "QcfeedUpstreamDown"),
        ({"connected": False}, "QcfeedBrokerAway"),
        ({"shares_without_owner": ["1/2"]}, "QcfeedNoOwner"),
        ({}, "QcfeedUpstreamDown"),
    ],
)
def test_an_upstream_that_is_down_behind_nats_has_the_page_of_the_part_that_is_missing(
    side: dict[str, Any] | None, page: str
) -> None:
    fields = {"role": "gateway", "name": "g", "servers": "nats://h:4222", "connected": True}
    cluster = None if side is None else ClusterStatus(**fields | side)
    evidence = healthy(status=msgspec.structs.replace(status(connected=False), cluster=cluster))
    (finding, *_) = diagnose(evidence).findings
    assert (finding.rule, finding.runbook) == ("upstream", page)
