"""Every runbook is executed, command by command, against a real service with the page's drill.

A page names its drill under "Rehearse". Commands under Diagnosis and Verification are repeated until
their output matches the page, within PATIENCE; commands under Mitigation run once.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.drills.catalog import DRILLS, FEEDER, GATEWAY, STANDBY, WORKER, parse
from qcfeed.metrics.catalog.alerts import ALERTS, Alert
from qcfeed.runbook_pages import difference, steps, symptoms
from tests.support.nats_cluster import feeder, feeding
from tests.support.nats_server import needs_nats
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, serving, until

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "runbooks"
OTHERS = {"index", "incident-2024-03-20", "TEMPLATE"}
"""Pages without an alert or a drill."""
SECTIONS = [
    "Meaning", "Impact", "Diagnosis", "Mitigation", "Verification", "Escalation", "Rehearse",
]  # fmt: skip
ASKED = {"Diagnosis", "Verification"}

SHORTER = {
    "tasks --window 30s": "tasks --window 1s",
    "qcfeed diagnose": "qcfeed diagnose --window 1s",
    "report --file": "report --window 1s --force --file",
    "drill start stuck-loop=30": "drill start stuck-loop=8",
}
"""Shorter windows for the same commands, so that the tests wait less."""

QUICK = (
    "--no-monitor", "--allow-drills", "--upstream", "sim:?rate=20", "--linger", "0.2",
    "--send-buffer", "4608", "--stale-after", "0.6", "--very-stale-after", "30", "--dead-after", "60",
)  # fmt: skip
PINGS_QUICKLY = ("--ping-interval", "0.5", "--stall-timeout", "1")
"""For the page about peers that answer no ping. Slow peers of other pages must live longer."""
REFUSES_SOON = ("--subscribe-rate", "50")
"""For the page about refusals: a busy machine does not reach the default rate."""
DIES_QUICKLY = ("--very-stale-after", "1", "--dead-after", "1.2")
"""For the page that needs dead symbols."""


UNALERTED = {spec.name for spec in DRILLS if not spec.alerts}
"""Drills without an alert; their page has the drill's name."""


def page(name: str) -> Path:
    return RUNBOOKS / f"{name}.md"


def drill_of(path: Path) -> str:
    """The drill that the page names. Fails if the page names none."""
    named = re.findall(
        r"`qcfeed drill start ([^`]+)`", path.read_text().partition("## Rehearse")[2]
    )
    assert len(named) == 1, f"{path.name} does not say which drill makes its fault"
    return str(named[0])


def type_it(home: Path, command: str) -> str:
    """The output of ``command``, stdout and stderr together as on a terminal."""
    for usual, short in SHORTER.items():
        command = command.replace(usual, short)
    typed = subprocess.run(
        command, shell=True, env=environment(home), text=True, timeout=3 * PATIENCE, cwd=home,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return typed.stdout


def follow(path: Path, home: Path, *, patience: float = 3 * PATIENCE) -> int:
    """Execute the page; returns the number of commands."""
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
    """One service for most pages; each page ends its own drill."""
    with serving(home, *QUICK) as service, subscribed(home):
        yield service


class subscribed:  # noqa: N801 - reads as what it is
    """A client that subscribes to two symbols until the block ends, and must not be disconnected."""

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


def rehearse(path: Path, home: Path, *, instance: str = "") -> None:
    """Start the page's drill, execute the page, and end the drill. ``instance``: where the drill runs."""
    where = f"--instance {instance} " if instance else ""
    started = type_it(home, f"qcfeed {where}drill start {drill_of(path)}")
    assert "ends in" in started, started
    try:
        assert follow(path, home) >= 3
    finally:
        type_it(home, f"qcfeed {where}drill stop")


ORDER = sorted(
    {each.name for each in ALERTS} | UNALERTED, key=lambda name: ("MemoryRunsOut" in name, name)
)
"""`growth` needs a service with some history, so its pages come last."""


OF_THEIR_OWN = {
    "QcfeedQuotesDead": DIES_QUICKLY,
    "half-open-consumers": PINGS_QUICKLY,
    "subscribe-storm": REFUSES_SOON,
}
"""Pages that need a service with other timeouts or limits."""


def of_role(role: str) -> set[str]:
    """Alerts whose own drill, the one that its page names, runs in this role."""
    return {
        alert.name
        for alert in ALERTS
        if parse(drill_of(RUNBOOKS / alert.runbook)).spec.role == role
    }


OF_GATEWAYS, OF_FEEDERS = of_role(GATEWAY), of_role(FEEDER)
"""Pages about a service behind NATS, and about one in front of it."""
OF_STANDBYS, OF_WORKERS = of_role(STANDBY), of_role(WORKER)
OF_OTHER_SERVICES = OF_GATEWAYS | OF_FEEDERS | OF_STANDBYS | OF_WORKERS | OF_THEIR_OWN.keys()


@pytest.mark.parametrize(
    "name",
    [each for each in ORDER if each not in OF_OTHER_SERVICES],
)
def test_the_runbook_works_as_written(name: str, service: Serving, home: Path) -> None:
    rehearse(page(name), home)


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_the_runbook_works_as_written_in_its_own_service(name: str, tmp_path: Path) -> None:
    with serving(tmp_path, *QUICK, *OF_THEIR_OWN[name]), subscribed(tmp_path):
        rehearse(page(name), tmp_path)


@needs_nats
@pytest.mark.parametrize("name", sorted(OF_GATEWAYS))
def test_the_runbook_works_as_written_in_a_gateway(name: str, tmp_path: Path) -> None:
    with (
        feeding(tmp_path / "feeder") as url,
        serving(tmp_path, *QUICK, "--upstream", url),
        subscribed(tmp_path),
    ):
        rehearse(page(name), tmp_path)


@needs_nats
@pytest.mark.parametrize("name", sorted(OF_FEEDERS))
def test_the_runbook_works_as_written_in_a_feeder(name: str, tmp_path: Path) -> None:
    behind = tmp_path / "gateway"
    behind.mkdir()
    with (
        feeding(tmp_path, "--allow-drills") as url,
        serving(behind, *QUICK, "--upstream", url),
        subscribed(behind),
    ):
        rehearse(page(name), tmp_path)


@needs_nats
@pytest.mark.parametrize("name", sorted(OF_STANDBYS))
def test_the_runbook_works_as_written_in_a_standby(name: str, tmp_path: Path) -> None:
    home, behind = tmp_path / "standby", tmp_path / "gateway"
    home.mkdir()
    behind.mkdir()
    with (
        feeding(tmp_path / "owner") as url,
        serving(behind, *QUICK, "--upstream", url),
        subscribed(behind),
        feeder(home, "f2", url, "--allow-drills", "--lease", "1") as standby,
    ):
        until(lambda: standby.cluster["owner"] is not None, "the standby knows the owner")
        rehearse(page(name), home)


@needs_nats
@pytest.mark.parametrize("name", sorted(OF_WORKERS))
def test_the_runbook_works_as_written_in_a_group_of_workers(name: str, tmp_path: Path) -> None:
    options = ("--no-monitor", "--allow-drills", "--workers", "2", "--instance", "w")
    with serving(tmp_path, *options, "--upstream", "sim:?rate=20"):
        rehearse(page(name), tmp_path, instance="w-1")


def test_a_wrong_runbook_fails(service: Serving, home: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.md"
    wrong.write_text("## Diagnosis\n\n```console\n$ qcfeed orphans\n... 17 orphans\n```\n")
    with pytest.raises(AssertionError, match="no orphans"):
        follow(wrong, home, patience=0.0)


def test_a_runbook_fails_on_a_healthy_service(service: Serving, home: Path) -> None:
    with pytest.raises(AssertionError, match=r"QcfeedOrphanedTasks\.md, Diagnosis"):
        follow(page("QcfeedOrphanedTasks"), home, patience=0.0)


def test_every_alert_and_every_other_drill_has_a_runbook() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - OTHERS
    assert pages == {alert.name for alert in ALERTS} | UNALERTED


@pytest.mark.parametrize("name", ORDER)
def test_a_runbook_has_its_sections(name: str) -> None:
    text = page(name).read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    done = steps(text)
    assert done[0].section == "Diagnosis"
    assert {"Diagnosis", "Mitigation", "Verification"} <= {step.section for step in done}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_runbook_starts_with_its_alerts_command_and_its_drill_triggers_the_alert(
    alert: Alert,
) -> None:
    path = RUNBOOKS / alert.runbook
    assert steps(path.read_text())[0].command.startswith(alert.command)
    assert alert.name in parse(drill_of(path)).spec.alerts


@pytest.mark.parametrize("name", sorted(UNALERTED))
def test_a_runbook_without_alert_is_named_after_its_drill(name: str) -> None:
    assert drill_of(page(name)) == name


def test_the_index_links_every_runbook_and_no_link_is_dead() -> None:
    index = page("index").read_text()
    linked = set(re.findall(r"\]\(([^)#:]+)\.md\)", index))
    assert linked == {path.stem for path in RUNBOOKS.glob("*.md")} - {"index"}
    assert symptoms(index).keys() == linked - OTHERS


def test_every_runbook_named_in_a_runbook_exists() -> None:
    for path in RUNBOOKS.glob("*.md"):
        for name in re.findall(r"`qcfeed runbook ([\w-]+)`", path.read_text()):
            assert name == "NAME" or page(name).exists(), f"{path.name} names {name}"


def test_the_template_has_every_section() -> None:
    assert re.findall(r"^## (.+)$", page("TEMPLATE").read_text(), re.MULTILINE) == SECTIONS


def test_every_alert_has_a_drill() -> None:
    assert {drill_of(RUNBOOKS / alert.runbook).partition("=")[0] for alert in ALERTS} <= {
        spec.name for spec in DRILLS
    }


def test_the_tests_named_in_the_incident_page_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page("incident-2024-03-20").read_text())
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"
