"""Several instances behind one port, as whole processes: each serves, each has its own name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from qcfeed.errors import ExitStatus
from tests.support.patience import PATIENCE
from tests.support.shell import Serving, qcfeed, serving, sound, until
from tests.support.websockets_client import connect

CLIENTS = 40
"""So many that the kernel's choice does not leave one of two instances out: 1 in 10**11."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Serving, Serving]]:
    with serving(tmp_path, "--no-monitor", "--reuse-port") as first:
        port = first.url.rpartition(":")[2]
        with serving(tmp_path, "--no-monitor", "--reuse-port", "--port", port) as second:
            yield first, second


def port_of(service: Serving) -> str:
    return service.url.rpartition(":")[2]


def connections(home: Path, instance: str) -> int:
    left = qcfeed(home, "--instance", instance, "status", "-o", "json")
    return int(json.loads(left.stdout)["connections"])


def test_both_serve_and_each_answers_to_its_name(
    pair: tuple[Serving, Serving], tmp_path: Path
) -> None:
    port = port_of(pair[0])
    names = [f"{port}-1", f"{port}-2"]
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(connect(f"{pair[0].url}/quotes/AAPL")) for _ in range(CLIENTS)
        ]
        for reader in readers:
            assert json.loads(reader.recv(timeout=PATIENCE))["symbol"] == "AAPL"
        counted = [connections(tmp_path, name) for name in names]
        assert sum(counted) == CLIENTS
        assert min(counted) > 0, "one of them serves nobody"
        _which_is_asked(tmp_path, names, pair)
        _one_leaves_and_the_other_goes_on(tmp_path, readers, pair, counted)


def _which_is_asked(home: Path, names: list[str], pair: tuple[Serving, Serving]) -> None:
    unsaid = qcfeed(home, "status")
    assert unsaid.returncode == ExitStatus.USAGE
    for name, service in zip(names, pair, strict=True):
        assert f"{name} (pid {service.process.pid})" in unsaid.stderr
        said = json.loads(qcfeed(home, "--instance", name, "status", "-o", "json").stdout)
        assert (said["instance"], said["pid"]) == (name, service.process.pid)


def _one_leaves_and_the_other_goes_on(
    home: Path, readers: list[ClientConnection], pair: tuple[Serving, Serving], counted: list[int]
) -> None:
    first, second = pair
    assert second.end() == ExitStatus.OK
    left = sum(_is_told_to_leave(reader) for reader in readers)
    assert left == counted[1]
    until(lambda: connections(home, f"{port_of(first)}-1") == counted[0], "the others stay")
    for _ in range(10):
        with connect(f"{first.url}/quotes/MSFT") as reader:
            reader.recv(timeout=PATIENCE)
    sound(lambda: qcfeed(home, "status"))  # there is one again


def _is_told_to_leave(reader: ClientConnection) -> bool:
    """Whether its service, which has ended, has said so; what came before it is passed over."""
    try:
        # Its answer, or the end of the connection, comes after all that was said before.
        assert reader.ping().wait(PATIENCE), "it neither left nor answers"
        while True:
            reader.recv(timeout=0)
    except ConnectionClosed as closed:
        return closed.rcvd is not None and closed.rcvd.code == 1001
    except TimeoutError:
        return False


def test_a_free_instance_number_is_reused(pair: tuple[Serving, Serving], tmp_path: Path) -> None:
    first, second = pair
    port = port_of(first)
    assert first.end() == ExitStatus.OK
    with serving(tmp_path, "--no-monitor", "--reuse-port", "--port", port) as third:
        assert any(f"instance {port}-1)" in line for line in third.talk)
        assert any("use --admin-listen for this one" in line for line in third.talk)
        assert second.process.poll() is None


@pytest.mark.parametrize("holder", [["--reuse-port"], []])
def test_a_port_is_shared_only_if_every_instance_asks_for_it(
    tmp_path: Path, holder: list[str]
) -> None:
    with serving(tmp_path, "--no-monitor", *holder) as first:
        port = port_of(first)
        other = [] if holder else ["--reuse-port"]
        left = qcfeed(tmp_path, "serve", "--no-monitor", "--port", port, *other)
        assert left.returncode == ExitStatus.UNREACHABLE
        assert f"port {port} on 127.0.0.1 is in use" in left.stderr
        assert "--reuse-port on every instance shares it" in left.stderr


def test_the_monitors_ports_are_never_shared(tmp_path: Path) -> None:
    with serving(tmp_path, "--reuse-port") as first:
        [line] = [line for line in first.talk if line.startswith("  monitor")] or [
            first.hear("monitor")
        ]
        telnet = line.split()[3]
        left = qcfeed(
            tmp_path, "serve", "--reuse-port", "--port", port_of(first), "--monitor-port", telnet
        )
        assert left.returncode == ExitStatus.UNREACHABLE
        assert f"port {telnet} on 127.0.0.1 is in use" in left.stderr
