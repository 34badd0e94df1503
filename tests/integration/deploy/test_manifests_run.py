"""The commands of deploy/kubernetes, run with the pods' environment: probes, metrics, directories and signals fit."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qcfeed.errors import ExitStatus
from tests.integration.deploy.test_manifests import DEPLOY, DEPLOYMENTS, container, described, named
from tests.support.nats_server import nats_server, needs_nats
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, Serving, environment, qcfeed, until

pytestmark = needs_nats
pytest.importorskip(
    "nats", reason="the NATS client is not installed: pip install 'qcfeed[cluster]'"
)

CONFIG = (DEPLOY / "nats.conf").read_text()
AUTHORIZATION = CONFIG[CONFIG.index("authorization") :]
PASSWORD = "a1b2c3d4e5f6"
HERE = {"coinbase:": "sim:", "3": "1", "8006": "0"}
"""Arguments that differ on one machine: the upstream, the copies of the bucket, the port."""
POD = "10.244.3.7:8006"
"""The Host header of the kubelet's probes and of Prometheus."""


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    text = AUTHORIZATION.replace("$QCFEED_NATS_PASSWORD", f'"{PASSWORD}"')
    text = text.replace("$QCFEED_OPERATOR_PASSWORD", '"other"')
    with nats_server(tmp_path_factory.mktemp("nats"), text) as server:
        yield server.url


def variables(home: Path) -> dict[str, str]:
    """The pod's environment, with each volume as a directory that an emptyDir with fsGroup is: open to its group."""
    data = dict(named("ConfigMap", "qcfeed")["data"])
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        volume = home / data[name].strip("/").replace("/", "-")
        volume.mkdir()
        volume.chmod(0o2777)
        data[name] = str(volume)
    return data | {"QCFEED_NATS_PASSWORD": PASSWORD, "QCFEED_PORT": "0"}


@contextlib.contextmanager
def pod(home: Path, deployment: dict[str, Any], nats: str) -> Iterator[tuple[Serving, Path]]:
    args = [
        nats if each.startswith("nats:") else HERE.get(each, each)
        for each in container(deployment)["args"]
    ]
    given = environment(home) | variables(home)
    process = subprocess.Popen([QCFEED, *args], env=given, stderr=subprocess.PIPE, text=True)
    found = Serving(process)
    try:
        found.hear("control ")
        yield found, Path(given["XDG_RUNTIME_DIR"])
    finally:
        found.end()
        assert process.stderr is not None
        process.stderr.close()


def port(service: Serving) -> int:
    [found] = [
        m[1] for line in service.talk if (m := re.search(r"health\s+http://\S+:(\d+)/", line))
    ]
    return int(found)


def get(service: Serving, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port(service), timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": POD})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=described)
def test_a_pod_starts_is_probed_and_scraped_and_ends_in_time(
    deployment: dict[str, Any], nats: str, tmp_path: Path
) -> None:
    with pod(tmp_path, deployment, nats) as (service, runtime):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container(deployment)[probe]["httpGet"]["path"]
            until(lambda path=path: get(service, path)[0] == 200, f"{probe} {path}")  # type: ignore[misc]
        [scaled] = named("HorizontalPodAutoscaler", "qcfeed-gateway")["spec"]["metrics"]
        status, metrics = get(service, "/metrics")
        assert status == 200
        assert re.search(rf"^{scaled['pods']['metric']['name']} \d", metrics, re.MULTILINE)
        assert "qcfeed_broker_away 0" in metrics, "it has logged in to NATS"
        # The directory of the control socket is this user's alone, whatever the volume's mode.
        directory = runtime / "qcfeed"
        assert directory.stat().st_mode & 0o777 == 0o700
        told = qcfeed(tmp_path, "status", XDG_RUNTIME_DIR=str(runtime))
        assert told.returncode in (ExitStatus.OK, ExitStatus.FINDINGS), told.stderr
        assert service.end() == ExitStatus.OK, "".join(service.talk)


def test_the_image_has_what_the_commands_need() -> None:
    [install] = re.findall(r"pip install .*", (DEPLOY / "Dockerfile").read_text())
    [extras] = re.findall(r"\.\[([a-z,]+)\]", install)
    assert "cluster" in extras.split(","), "without it there is no NATS client"
    commands = [each for d in DEPLOYMENTS for each in container(d)["args"]]
    assert any(each.startswith("nats:") for each in commands)


def test_what_is_missing_is_named_where_the_image_has_no_nats_client(tmp_path: Path) -> None:
    hidden = tmp_path / "nats"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('nats', name='nats')\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    done = qcfeed(
        tmp_path, "feeder", "--upstream", "sim:", "--to", "nats://127.0.0.1:4222", PYTHONPATH=path
    )
    assert done.returncode != ExitStatus.OK
    assert "qcfeed[cluster]" in done.stderr
