"""Every runbook is followed, command by command, against the real service with the page's own fault.

A page names its drill under "Rehearse". Questions (Diagnosis) and proofs (Verification) are asked until
they are answered as the page says, within PATIENCE; what is done (Mitigation) is done once.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.drills.catalog import KINDS, parse
from qcfeed.metrics.catalog.alerts import ALERTS, Alert
from qcfeed.runbook_pages import difference, steps, symptoms
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving, until

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "runbooks"
OTHERS = {"index", "incident-2024-03-20", "TEMPLATE"}
"""Pages that are no alert's."""
SECTIONS = [
    "Meaning", "Impact", "Diagnosis", "Mitigation", "Verification", "Escalation", "Rehearse",
]  # fmt: skip
ASKED = {"Diagnosis", "Verification"}

SHORTER = {
    "tasks --window 30s": "tasks --window 1s",
    "qcfeed diagnose": "qcfeed diagnose --window 1s",
    "report -o": "report --window 1s -o",
    "drill start stuck-loop=30": "drill start stuck-loop=8",
}
"""So that the suite does not wait: the same commands, over a shorter time."""

QUICK = (
    "--no-monitor", "--allow-drills", "--upstream", "sim:?rate=20", "--linger", "0.2",
    "--send-buffer", "4608", "--stale-after", "0.6", "--very-stale-after", "30", "--dead-after", "60",
)  # fmt: skip
PINGS_QUICKLY = ("--ping-interval", "0.5", "--stall-timeout", "1")
"""A page about peers that answer no ping has one too: slow ones must not be ended as fast."""
REFUSES_SOON = ("--subscribe-rate", "50")
"""A page about refusals must see some on a machine too busy for thousands of connections per second."""
DIES_QUICKLY = ("--very-stale-after", "1", "--dead-after", "1.2")
"""A page that needs dead symbols has a service of its own."""


UNALERTED = {kind.name for kind in KINDS if not kind.alerts}
"""Drills whose fault no alert is for: their page has the drill's name."""


def page(name: str) -> Path:
    return RUNBOOKS / f"{name}.md"


def drill_of(path: Path) -> str:
    """The drill that the page names; a page without one is a failure."""
    named = re.findall(
        r"`qcfeed drill start ([^`]+)`", path.read_text().partition("## Rehearse")[2]
    )
    assert len(named) == 1, f"{path.name} does not say which drill makes its fault"
    return str(named[0])


def type_it(home: Path, command: str) -> str:
    """What it prints, stdout and stderr as on a terminal."""
    for usual, short in SHORTER.items():
        command = command.replace(usual, short)
    typed = subprocess.run(
        command, shell=True, env=environment(home), text=True, timeout=3 * PATIENCE, cwd=home,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return typed.stdout


def follow(path: Path, home: Path, *, patience: float = 3 * PATIENCE) -> int:
    """Do what the page says; how many commands that were."""
    todo = steps(path.read_text())
    for step in todo:
        deadline = time.monotonic() + (patience if step.section in ASKED else 0.0)
        while wrong := difference(step.expected, type_it(home, step.command)):
            where = f"{path.name}, {step.section}: {step.command}\n"
            assert time.monotonic() < deadline, where + wrong
    return len(todo)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("night")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    """One service for most pages: each fault is put back by its page."""
    with serving(home, *QUICK) as service, subscribed(home):
        yield service


class subscribed:  # noqa: N801 - reads as what it is
    """Two symbols are held for as long as this lasts, by a client that must not be lost."""

    def __init__(self, home: Path) -> None:
        self._command = [QCFEED, "watch", "-o", "json", "AAPL", "MSFT"]
        self._home = home

    def __enter__(self) -> None:
        self._client = subprocess.Popen(
            self._command, env=environment(self._home), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: "AAPL" in qcfeed(self._home, "feeds", "-o", "name").stdout, "the client")

    def __exit__(self, *_: object) -> None:
        alive = self._client.poll() is None
        self._client.terminate()
        self._client.wait(PATIENCE)
        assert alive, "the subscriber was lost"


def rehearse(path: Path, home: Path) -> None:
    """Break the service, follow the page, and leave nothing on."""
    started = type_it(home, f"qcfeed drill start {drill_of(path)}")
    assert "ends in" in started, started
    try:
        assert follow(path, home) >= 3
    finally:
        type_it(home, "qcfeed drill stop")


ORDER = sorted(
    {each.name for each in ALERTS} | UNALERTED, key=lambda name: ("MemoryRunsOut" in name, name)
)
"""`growth` needs a service that has lived for a while: the pages about it come last."""


OF_THEIR_OWN = {
    "QcfeedQuotesDead": DIES_QUICKLY,
    "half-open-consumers": PINGS_QUICKLY,
    "subscribe-storm": REFUSES_SOON,
}
"""Pages that need a service with other times or limits."""


@pytest.mark.parametrize("name", [each for each in ORDER if each not in OF_THEIR_OWN])
def test_the_page_is_right(name: str, service: Serving, home: Path) -> None:
    rehearse(page(name), home)


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_the_page_is_right_in_a_service_of_its_own(name: str, tmp_path: Path) -> None:
    with serving(tmp_path, *QUICK, *OF_THEIR_OWN[name]), subscribed(tmp_path):
        rehearse(page(name), tmp_path)


def test_a_page_that_is_wrong_is_found(service: Serving, home: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.md"
    wrong.write_text("## Diagnosis\n\n```console\n$ qcfeed orphans\n... 17 orphans\n```\n")
    with pytest.raises(AssertionError, match="no orphans"):
        follow(wrong, home, patience=0.0)


def test_a_page_is_wrong_where_nothing_is_broken(service: Serving, home: Path) -> None:
    with pytest.raises(AssertionError, match=r"QcfeedOrphanedTasks\.md, Diagnosis"):
        follow(page("QcfeedOrphanedTasks"), home, patience=0.0)


def test_every_alert_has_a_page_and_every_other_page_a_drill_without_one() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - OTHERS
    assert pages == {alert.name for alert in ALERTS} | UNALERTED


@pytest.mark.parametrize("name", ORDER)
def test_a_page_has_its_sections(name: str) -> None:
    text = page(name).read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    done = steps(text)
    assert done[0].section == "Diagnosis"
    assert {"Diagnosis", "Mitigation", "Verification"} <= {step.section for step in done}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_page_begins_as_its_alert_says_and_its_drill_makes_it_fire(alert: Alert) -> None:
    path = RUNBOOKS / alert.runbook
    assert steps(path.read_text())[0].command.startswith(alert.command)
    assert alert.name in parse(drill_of(path)).kind.alerts


@pytest.mark.parametrize("name", sorted(UNALERTED))
def test_a_page_without_an_alert_is_about_the_drill_that_it_is_named_after(name: str) -> None:
    assert drill_of(page(name)) == name


def test_the_index_leads_to_every_page_and_no_link_is_dead() -> None:
    index = page("index").read_text()
    linked = set(re.findall(r"\]\(([^)#:]+)\.md\)", index))
    assert linked == {path.stem for path in RUNBOOKS.glob("*.md")} - {"index"}
    assert symptoms(index).keys() == linked - OTHERS


def test_every_page_that_a_page_names_is_there() -> None:
    for path in RUNBOOKS.glob("*.md"):
        for name in re.findall(r"`qcfeed runbook ([\w-]+)`", path.read_text()):
            assert name == "NAME" or page(name).exists(), f"{path.name} names {name}"


def test_the_template_has_every_section() -> None:
    assert re.findall(r"^## (.+)$", page("TEMPLATE").read_text(), re.MULTILINE) == SECTIONS


def test_every_drill_of_an_alert_is_some_kind() -> None:
    assert {drill_of(RUNBOOKS / alert.runbook).partition("=")[0] for alert in ALERTS} <= {
        kind.name for kind in KINDS
    }


def test_the_tests_that_the_incident_names_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page("incident-2024-03-20").read_text())
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"
