"""A NATS cluster of three whose network splits: each server, with a feeder and a gateway, on a machine of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.namespaces import Machine, machines, needs_namespaces
from tests.support.nats_cluster import Process, Watcher, end_well, feeder, gateway, until_fenced
from tests.support.nats_server import NatsServer, needs_nats
from tests.support.patience import PATIENCE
from tests.support.shell import qcfeed, until
from tests.support.websockets_client import connect

pytestmark = [needs_nats, needs_namespaces()]

LEASE = 2.0
SHORT = ("--lease", str(LEASE), "--lease-replicas", "3", "--linger", "1")


def start_servers(home: Path, hosts: list[Machine], stack: contextlib.ExitStack) -> str:
    """A NATS server on each machine, as one cluster; the URL of all."""
    routes = ", ".join(f'"nats://{each.address}:6222"' for each in hosts)
    for number, host in enumerate(hosts, 1):
        server = NatsServer(
            home / f"n{number}",
            f'cluster {{ name: c, listen: "{host.address}:6222", routes: [{routes}] }}\n',
            f"n{number}",
            host.address,
            host.before,
        )
        server.port = 4222
        stack.callback(server.stop, kill=True)
        server.start()
    return "nats://" + ",".join(f"{each.address}:4222" for each in hosts)


@contextlib.contextmanager
def watching(host: Machine, of: Process) -> Iterator[Watcher]:
    port = int(of.url.rpartition(":")[2])
    with connect(f"{of.url}/quotes/AAPL", sock=host.connect(port)) as socket:
        yield Watcher(socket)


def lead_by_another(host: Machine, than: str) -> None:
    """Have another server lead the bucket of the leases than ``than``."""

    async def step_down() -> None:
        import nats

        client = await nats.connect(f"nats://{host.address}:4222")
        name = "KV_qcfeed-leases"
        deadline = time.monotonic() + PATIENCE
        while (info := await client.jetstream().stream_info(name)).cluster is None or (
            info.cluster.leader in (than, None, "")
        ):
            assert time.monotonic() < deadline
            with contextlib.suppress(nats.errors.Error):
                await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{name}", timeout=5)
            await asyncio.sleep(0.1)
        await client.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(host.enter).result()
        thread.submit(asyncio.run, step_down()).result()


def test_the_minoritys_owner_fences_itself_and_the_majority_takes_over(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(machines(3))
        minority, majority, _ = hosts
        urls = start_servers(tmp_path, hosts, stack)

        def run(start: Any, name: str, host: Machine, *args: str) -> Process:
            # The own machine's server first, as a deployment would.
            near = f"nats://{host.address}:4222," + urls.partition("://")[2]
            started: Process = stack.enter_context(
                start(tmp_path, name, near, *args, before=host.before)
            )
            return started

        f1 = run(feeder, "f1", minority, *SHORT)
        f1.hear("owner of share")
        f2 = run(feeder, "f2", majority, *SHORT)
        g1 = run(gateway, "g1", minority, "--stale-after", "1")
        g2 = run(gateway, "g2", majority, "--stale-after", "1")
        lead_by_another(majority, "n1")
        with watching(minority, g1) as cut, watching(majority, g2) as other:
            first = cut.quote()[0]
            assert other.quote()[0] == first
            began = time.monotonic()
            minority.cut_off()
            second = other.quote(above=first)[0]
            took = time.monotonic() - began
            assert second > first
            # A busy machine may hold a process up, but not the other half of the patience.
            assert took < LEASE + 2 + PATIENCE / 2, f"{took:.1f} s"
            cut.until_state("stale")
            until_fenced(f1, first)
            assert cut.last[0] == first, "no quote of the new epoch can have come"
            until(lambda: (f2.cluster["lease_epoch"] or 0) >= second, "the majority's owner")
            minority.rejoin()
            assert cut.quote(above=first)[0] >= second
            until(lambda: qcfeed(tmp_path, "--cluster", "orphans").returncode == 0, "no orphans")
            assert cut.missing == other.missing == 0
        end_well(f1, f2, g1, g2)
