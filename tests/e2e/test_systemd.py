"""The unit as systemd's own tools see it, and what the real service tells a service manager."""

from __future__ import annotations

import configparser
import json
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.ports import refusing_port
from tests.support.shell import QCFEED, environment, until

DEPLOY = Path(__file__).parents[2] / "deploy"
EXPOSURE = 20
"""Of 100, in `systemd-analyze security`: the unit has 15."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def here(tmp_path: Path) -> Path:
    """The unit, with the qcfeed of this environment in place of /opt/qcfeed."""
    text = (DEPLOY / "qcfeed.service").read_text()
    assert "/opt/qcfeed/bin/qcfeed serve" in text
    unit = tmp_path / "qcfeed.service"
    unit.write_text(text.replace("ExecStart=/opt/qcfeed/bin/qcfeed", f"ExecStart={QCFEED}"))
    return unit


def analyze(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *args], capture_output=True, text=True, timeout=PATIENCE
    )


@needs_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    unit = here(tmp_path)
    good = analyze("verify", "--man=no", str(unit))
    assert (good.returncode, good.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("RestrictRealtime", "RestrictRealtme"))
    assert "RestrictRealtme" in analyze("verify", "--man=no", str(unit)).stderr


@needs_systemd
def test_systemd_finds_little_to_attack(tmp_path: Path) -> None:
    unit = here(tmp_path)
    held = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", str(unit))
    assert held.returncode == 0, held.stdout
    unit.write_text(unit.read_text().replace("CapabilityBoundingSet=", ""))
    assert analyze("security", "--offline=true", "--threshold=20", str(unit)).returncode != 0


def test_the_unit_gives_the_drain_its_time_and_the_connections_their_files() -> None:
    from qcfeed.config import SPARE_FILES, Config

    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "qcfeed.service")
    service = unit["Service"]
    assert float(service["TimeoutStopSec"].removesuffix("s")) > Config().drain_timeout
    assert int(service["LimitNOFILE"]) >= Config().max_connections + SPARE_FILES


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_says_when_it_is_ready_alive_and_leaving(
    tmp_path: Path, abstract: bool
) -> None:
    name = f"\0qcfeed-{uuid.uuid4()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(PATIENCE)
        spoken = {"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "400000"}
        service = subprocess.Popen(
            [QCFEED, "--instance", "unit", "serve", "--port", "0", "--no-monitor"],
            env=environment(tmp_path) | spoken,
            stderr=subprocess.DEVNULL,
        )
        try:
            ready, status = manager.recv(4096).decode().splitlines()
            assert ready == "READY=1"
            assert status.startswith("STATUS=serves sim:?rate=1&seed=0 on 127.0.0.1:")
            assert [manager.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            service.send_signal(signal.SIGTERM)
            while (last := manager.recv(4096).decode()) == "WATCHDOG=1":
                pass
            assert last == "STOPPING=1\nSTATUS=draining: at most 10 s"
            assert service.wait(PATIENCE) == 0
        finally:
            service.kill()
            service.wait()


def test_a_service_that_cannot_start_is_never_ready(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0)
        left = subprocess.run(
            [QCFEED, "serve", "--host", "203.0.113.1"],
            env=environment(tmp_path) | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            capture_output=True,
            timeout=PATIENCE,
        )
        assert left.returncode == 3
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


def test_the_containers_health_is_that_of_the_loop(tmp_path: Path) -> None:
    """The very command of the Dockerfile, against a service that serves, is stuck, and is gone."""
    text = (DEPLOY / "Dockerfile").read_text()
    command = json.loads(text.partition("HEALTHCHECK")[2].partition("CMD ")[2].partition("\n")[0])
    assert command[0] == "python"
    with refusing_port() as port:
        _is_healthy_while_the_loop_turns(
            [sys.executable, *command[1:]], environment(tmp_path) | {"QCFEED_PORT": str(port)}
        )


def _is_healthy_while_the_loop_turns(check: list[str], env: dict[str, str]) -> None:
    def healthy() -> bool:
        return subprocess.run(check, env=env, capture_output=True, timeout=PATIENCE).returncode == 0

    assert not healthy()
    service = subprocess.Popen([QCFEED, "serve"], env=env, stderr=subprocess.DEVNULL)
    try:
        until(healthy, "a healthy service")
        service.send_signal(signal.SIGSTOP)
        assert not healthy()
        service.send_signal(signal.SIGCONT)
    finally:
        service.kill()
        service.wait()
    assert not healthy()


def test_the_container_runs_as_an_unprivileged_user() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    final = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER qcfeed" in final
    assert final.index("USER qcfeed") < final.index('ENTRYPOINT ["qcfeed"]')
    assert sum(line.startswith("FROM ") for line in lines) == 2
