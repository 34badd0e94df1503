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
    "qcfeed feeder": "it publishes on NATS until it is interrupted (tests/e2e/test_nats_failures.py)",
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
    "qcfeed subscribers kick": ExitStatus.REFUSED,  # nobody can be asked
    "qcfeed tasks cancel": ExitStatus.REFUSED,  # nor here
    "qcfeed top": ExitStatus.USAGE,  # there is no terminal (tests/e2e/test_top.py has one)
}
"""What commands leave with here, other than healthy or with findings."""

NUMBERED = {
    "qcfeed subscribers kick": "subscribers",
    "qcfeed subscribers show": "subscribers",
    "qcfeed tasks cancel": "tasks",
    "qcfeed tasks show": "tasks",
}
"""Commands whose example names something by number, and the command that lists what is here."""

CONTEXTS_BEFORE = ("qcfeed config current-context", "qcfeed config use-context")
"""Commands whose example needs the context prod, which is the current one."""

KEYS_BEFORE = ("qcfeed keys list", "qcfeed keys revoke")
"""Commands whose example needs the key desk-7."""

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
def test_it_works(home: Path, tmp_path: Path, path: str) -> None:
    line = FIRST[path].replace("/etc/qcfeed", str(tmp_path))
    if path in NUMBERED:
        line = line.replace("48213", qcfeed(home, NUMBERED[path], "-o", "name").stdout.split()[0])
    # A configuration and keys of its own: what one example writes must not change another's.
    own = {"XDG_CONFIG_HOME": str(tmp_path), "QCFEED_KEYS": str(tmp_path / "keys.json")}
    if path in CONTEXTS_BEFORE:
        file = tmp_path / "qcfeed" / "config.toml"
        file.parent.mkdir()
        file.write_text('current_context = "prod"\n[contexts.prod]\ninstance = "8006"\n')
    if path in KEYS_BEFORE:
        assert qcfeed(home, "keys", "add", "desk-7", **own).returncode == 0
    typed = subprocess.run(
        ["bash", "-c", line],
        cwd=home, env=environment(home) | own, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    expected = {OTHERWISE[path]} if path in OTHERWISE else {ExitStatus.OK, ExitStatus.FINDINGS}
    assert typed.returncode in expected, typed.stderr
    assert "Traceback" not in typed.stderr
