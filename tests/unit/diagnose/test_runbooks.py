from __future__ import annotations

import pytest

from qcfeed import shipped
from qcfeed.diagnose.runbooks import PAGES, page_of
from qcfeed.diagnose.verdict import diagnose
from qcfeed.metrics.catalog.alerts import ALERTS
from tests.support.evidence_builders import leak


@pytest.mark.parametrize("page", sorted({*PAGES.values(), *(alert.name for alert in ALERTS)}))
def test_every_named_runbook_is_shipped(page: str) -> None:
    assert page in shipped.runbooks()


def test_an_alert_has_its_own_page_and_a_rule_without_page_has_none() -> None:
    assert page_of("QcfeedTargetMissing") == "QcfeedTargetMissing"
    assert page_of("exceptions_never_retrieved") == ""


def test_a_diagnosis_names_the_runbook_of_each_finding() -> None:
    diagnosis = diagnose(leak())
    assert [each.runbook for each in diagnosis.findings] == ["QcfeedOrphanedTasks"]
