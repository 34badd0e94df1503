from __future__ import annotations

import pytest

from qcfeed import shipped
from qcfeed.cli.top import details
from qcfeed.diagnose.runbooks import PAGES

from .made import finding


@pytest.mark.parametrize("rule", PAGES)
def test_every_rule_has_a_runbook_that_is_shipped(rule: str) -> None:
    page = details.page(rule)
    assert page.title == f"runbook {PAGES[rule]}"
    assert page.markdown


def test_an_alert_has_its_own_page() -> None:
    assert details.page("QcfeedTargetMissing").title == "runbook QcfeedTargetMissing"


@pytest.mark.parametrize("rule", ["no_such_rule", None])
def test_without_a_runbook_all_are_listed(rule: str | None) -> None:
    page = details.page(rule)
    assert not page.markdown
    assert {line.partition(":")[0] for line in page.lines} >= set(shipped.runbooks())


def test_a_finding_is_shown_in_full_and_escaped() -> None:
    shown = details.finding(finding(evidence=["1", "2", "3", "4", "5", "6", "7 \x1b[2J"]), 70)
    assert shown.rule == "zombies"
    assert any("7 " in line for line in shown.lines)
    assert all(line.isprintable() for line in shown.lines)
