"""The first example of every command, typed into a shell beside a running service: it works."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcfeed.errors import ExitStatus
from tests.support.examples import examples
from tests.support.patience import PATIENCE
from tests.support.shell import environment, qcfeed, serving
from tests.support.websockets_client import connect

LASTING = {
    "qcfeed serve": "it is what runs beside all of them",
    "qcfeed watch": "it shows quotes until it is interrupted (tests/e2e/test_watch.py)",
    "qcfeed workers": "it needs a service of several processes (tests/e2e/test_workers.py)",
    "qcfeed workers restart": "so does this",
    "qcfeed repro": "a thousand cycles (tests/e2e/test_repro.py)",
    "qcfeed tasks verify": "it looks for ten minutes (tests/e2e/test_cli_tasks_flow.py)",
    "qcfeed drill rehearse": "it waits for somebody to mitigate (tests/e2e/test_rehearse.py)",
    "qcfeed attach": "it needs a program to attach (tests/integration/inject)",
    "qcfeed detach": "it needs one that is attached (tests/integration/inject)",
    "qcfeed alerts": "it needs a Prometheus of that name (tests/unit/cli/test_alerts.py)",
}
"""Commands whose example cannot be typed here, and why."""

OTHERWISE = {
    "qcfeed feeds cancel": ExitStatus.REFUSED,  # somebody is subscribed, and nobody can be asked
    "qcfeed top": ExitStatus.USAGE,  # there is no terminal (tests/e2e/test_top.py has one)
}
"""What commands leave with here, other than healthy or with findings."""

FIRST = {path: line for path, line in reversed(list(examples())) if path not in LASTING}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a person with a service on 8006, a quote that is read, and a snapshot of before."""
    home = tmp_path_factory.mktemp("home")
    with (
        serving(home, "--no-monitor", "--allow-drills", before=("--instance", "8006")) as service,
        connect(f"{service.url}/quotes/AAPL", close_timeout=0.1) as one,
        connect(f"{service.url}/quotes/MSFT", close_timeout=0.1) as other,
    ):
        one.recv(timeout=PATIENCE)
        other.recv(timeout=PATIENCE)
        assert qcfeed(home, "tasks", "--save", str(home / "before.json")).returncode == 0
        yield home


@pytest.mark.parametrize("path", FIRST)
def test_it_works(home: Path, path: str) -> None:
    line = FIRST[path]
    if path == "qcfeed tasks show":  # of a task that is here
        line = line.replace("48213", qcfeed(home, "tasks", "-o", "name").stdout.split()[0])
    typed = subprocess.run(
        ["bash", "-c", line],
        cwd=home, env=environment(home), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    expected = {OTHERWISE[path]} if path in OTHERWISE else {ExitStatus.OK, ExitStatus.FINDINGS}
    assert typed.returncode in expected, typed.stderr
    assert "Traceback" not in typed.stderr
