"""The real commands against the real service with TLS: which certificates they trust, and what they say."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.shell import Serving, qcfeed, serving, until


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def certificates(home: Path) -> Certificates:
    made = Certificates(home / "tls")
    made.issue()
    return made


@pytest.fixture(scope="module")
def service(home: Path, certificates: Certificates) -> Iterator[Serving]:
    options = (
        "--no-monitor", "--upstream", "sim:?rate=20", "--linger", "0.2",
        "--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key),
        "--tls-client-ca", str(certificates.ca),
    )  # fmt: skip
    with serving(home, *options) as service:
        yield service


@pytest.fixture(scope="module")
def shown(certificates: Certificates) -> tuple[str, str]:
    return "--tls-client-cert", str(certificates.client("desk-7"))


def watch(home: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return qcfeed(home, "watch", "AAPL", "--count", "1", "-o", "json", *more, **variables)


def test_the_service_of_this_machine_is_trusted_by_its_own_certificate(
    service: Serving, home: Path, shown: tuple[str, str]
) -> None:
    left = watch(home, *shown)
    assert (left.returncode, left.stderr.partition(" wss://")[0]) == (0, "connected to")
    assert '"type":"quote"' in left.stdout


def test_another_name_needs_the_ca_from_a_flag_or_a_variable(
    service: Serving, home: Path, certificates: Certificates, shown: tuple[str, str]
) -> None:
    url = ("--server", service.url)
    left = watch(home, *url, *shown)
    assert left.returncode == 3
    assert "its certificate is not trusted" in left.stderr
    assert "--tls-ca FILE" in left.stderr
    assert watch(home, *url, *shown, "--tls-ca", str(certificates.ca)).returncode == 0
    assert watch(home, *url, *shown, SSL_CERT_FILE=str(certificates.ca)).returncode == 0


def test_a_missing_client_certificate_is_said(service: Serving, home: Path) -> None:
    left = watch(home)
    assert left.returncode == 3
    assert "--tls-client-cert FILE" in left.stderr


def test_ws_to_a_port_with_tls_says_so(service: Serving, home: Path) -> None:
    left = watch(home, "--server", service.url.replace("wss:", "ws:"))
    assert (left.returncode, "use wss://" in left.stderr) == (2, True)


def test_repro_runs_over_tls(service: Serving, home: Path, shown: tuple[str, str]) -> None:
    for mode in ("clean", "rude"):
        left = qcfeed(home, "repro", "--cycles", "5", "--mode", mode, *shown)
        assert left.returncode == 0, left.stdout + left.stderr


def test_sighup_loads_the_files_and_the_status_shows_them(
    service: Serving, home: Path, certificates: Certificates, shown: tuple[str, str]
) -> None:
    certificates.issue("renewed.example")
    service.process.send_signal(signal.SIGHUP)
    until(lambda: "renewed.example" in qcfeed(home, "status").stdout, "the new name")
    assert watch(home, *shown).returncode == 0


def test_a_start_with_a_key_of_another_certificate_is_refused(
    home: Path, certificates: Certificates, tmp_path: Path
) -> None:
    other = Certificates(tmp_path / "other")
    other.issue()
    left = qcfeed(
        home,
        "serve",
        "--port",
        "0",
        "--tls-cert",
        str(certificates.cert),
        "--tls-key",
        str(other.key),
    )
    assert left.returncode == 2
    assert "does not belong to the certificate" in left.stderr
