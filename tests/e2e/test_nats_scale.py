"""Many subscribers, a NATS cluster of three, and names and passwords, with real servers and processes."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from qcfeed.upstreams.universe import TICKERS
from tests.support.nats_cluster import Process, end_well, feeder, find_owner, gateway, watching
from tests.support.nats_server import nats_cluster, nats_server, needs_nats
from tests.support.ports import refusing_port
from tests.support.shell import qcfeed, until
from tests.support.websockets_client import connect

pytestmark = needs_nats


def test_the_feeds_of_a_killed_gateway_with_1_000_subscribers_stop(tmp_path: Path) -> None:
    with (
        nats_server(tmp_path / "n1") as nats,
        feeder(tmp_path, "f1", nats.url, "--linger", "2", "--lease", "2") as f1,
        gateway(tmp_path, "g1", nats.url) as g1,
        gateway(tmp_path, "g2", nats.url) as g2,
        ExitStack() as clients,
    ):
        own, shared = TICKERS[:200], TICKERS[200]
        for _ in range(5):
            client = clients.enter_context(connect(f"{g1.url}/stream"))
            client.send(json.dumps({"action": "subscribe", "symbols": [*own, shared]}))
        with watching(g2, shared) as watcher:
            until(lambda: f1.cluster["symbols_wanted"] == 201, "all symbols are wanted")
            until(lambda: g1.status()["subscriptions"] == 5 * 201, "all clients have subscribed")
            g1.kill()
            until(lambda: f1.status()["feed_count"] == 1, "the feeds of the dead gateway stop")
            watcher.quote()
            assert watcher.missing == 0
        end_well(f1, g2)


def test_a_cluster_of_three_servers_outlasts_one(tmp_path: Path) -> None:
    with (
        ExitStack() as held,
        nats_cluster(tmp_path, [held.enter_context(refusing_port()) for _ in range(3)]) as servers,
    ):
        urls = "nats://" + ",".join(f"127.0.0.1:{each.port}" for each in servers)
        short = ("--lease", "2", "--lease-replicas", "3")
        with (
            feeder(tmp_path, "f1", urls, *short) as f1,
            feeder(tmp_path, "f2", urls, *short) as f2,
            gateway(tmp_path, "g1", urls) as g1,
        ):
            with watching(g1) as watcher:
                watcher.quote()
                first = watcher.last
                used = {each.cluster["server"] for each in (find_owner(f1, f2), g1)}
                [victim, *_] = [each for each in servers if f"127.0.0.1:{each.port}" in used]
                victim.stop(kill=True)
                lost = f"127.0.0.1:{victim.port}"
                until(lambda: g1.cluster["server"] not in (None, lost), "the gateway is connected")
                until(
                    lambda: find_owner(f1, f2).cluster["server"] != lost, "the owner is connected"
                )
                for _ in range(20):
                    watcher.quote()
                assert watcher.last > first
                assert watcher.missing == 0
            end_well(f1, f2, g1)


def test_who_logs_in_is_named_by_files_and_a_wrong_password_is_told(tmp_path: Path) -> None:
    users = """authorization { users: [
        {user: feeder, password: hunter2}
        {user: gateway, password: hunter3, permissions: {
            publish: ["qc.get.*", "_INBOX.>"], subscribe: ["qc.q.>", "qc.owner", "_INBOX.>"]}}
    ]}\n"""
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    password.chmod(0o600)
    with (
        nats_server(tmp_path / "n1", users) as nats,
        feeder(
            tmp_path,
            "f1",
            nats.url,
            *("--nats-user", "feeder", "--nats-password-file", str(password)),
        ) as f1,
        gateway(
            tmp_path, "g1", nats.url, "--nats-user", "gateway", QCFEED_NATS_PASSWORD="hunter3"
        ) as g1,
        gateway(
            tmp_path, "g2", nats.url, "--nats-user", "gateway", QCFEED_NATS_PASSWORD="wrong"
        ) as g2,
    ):
        with watching(g1, "BRK.B") as watcher, connect(f"{g2.url}/quotes/AAPL"):
            watcher.quote()

            def refusal_is_told() -> bool:
                # Where the server's reset overtakes its reason, the next attempt tells it.
                status = qcfeed(tmp_path, "--instance", "g2", "status")
                return status.returncode == 1 and "uthorization" in status.stderr

            until(refusal_is_told, "the refusal is told")
            for each in (f1, g1, g2):
                shown = qcfeed(tmp_path, "--instance", each.instance, "status", "-o", "json").stdout
                assert "hunter" not in shown + "".join(each.talk)
        end_well(f1, g1, g2)


def test_what_the_server_denies_later_is_told_and_does_not_stay(tmp_path: Path) -> None:
    """Publishing quotes, the lease, the login, and a gateway's subscription; then all is allowed again."""

    def users(feeder: str = "", password: str = "right", gateway: str = "") -> str:
        return f"""authorization {{ users: [
            {{user: feeder, password: {password}, permissions: {{ publish: {{ deny: [{feeder}] }} }} }}
            {{user: gateway, password: right, permissions: {{ subscribe: {{ deny: [{gateway}] }} }} }}
        ] }}\n"""

    def says(process: Process, words: str) -> None:
        def told() -> bool:
            status = qcfeed(tmp_path, "--instance", process.instance, "status")
            return status.returncode == 1 and words.lower() in status.stderr.lower()

        until(told, f"{process.instance} says {words}")

    login = {"QCFEED_NATS_PASSWORD": "right"}
    short = ("--lease", "1", "--linger", "1", "--nats-user", "feeder")
    with (
        nats_server(tmp_path / "n1", users()) as nats,
        feeder(tmp_path, "f1", nats.url, *short, **login) as f1,
        gateway(tmp_path, "g1", nats.url, "--nats-user", "gateway", **login) as g1,
        watching(g1) as watcher,
    ):
        first = watcher.quote()[0]
        nats.reconfigure(users(feeder='"qc.q.>"'))
        says(f1, 'Permissions Violation for Publish to "qc.q.AAPL"')
        nats.reconfigure(users(feeder='"$KV.>"'))
        says(f1, 'Permissions Violation for Publish to "$KV.qcfeed-leases.share-1-of-1"')
        until(lambda: f1.cluster["lease_epoch"] is None, "it is no longer the owner")
        nats.reconfigure(users(feeder='"$JS.API.>"'))
        nats.reconfigure(users(password="other"))
        says(f1, "refuses the login")
        nats.reconfigure(users(gateway='"qc.q.>"'))
        says(g1, "Permissions Violation for Subscription to")
        nats.reconfigure(users())
        assert watcher.quote(above=first)[0] > first
        until(lambda: qcfeed(tmp_path, "--instance", "g1", "status").returncode == 0, "all is well")
        end_well(f1, g1)


@pytest.mark.parametrize("command", ["feeder", "serve"])
def test_a_password_in_a_url_is_refused(tmp_path: Path, command: str) -> None:
    flag = {"feeder": "--to", "serve": "--upstream"}[command]
    left = qcfeed(tmp_path, command, flag, "nats://me:hunter2@127.0.0.1:4222", "--port", "0")
    assert left.returncode == 2
    assert "--nats-password-file" in left.stderr
    assert "hunter2" not in left.stderr


def test_a_gateway_that_falls_behind_conflates_and_is_not_cut_off(tmp_path: Path) -> None:
    with (
        nats_server(tmp_path / "n1") as nats,
        feeder(tmp_path, "f1", nats.url, "--upstream", "sim:?rate=3000") as f1,
        gateway(tmp_path, "g1", nats.url) as g1,
    ):
        with watching(g1) as watcher:
            watcher.quote()
            published = f1.cluster["quotes_published"]
            g1.process.send_signal(signal.SIGSTOP)
            until(lambda: f1.cluster["quotes_published"] > published + 8_000, "quotes wait for it")
            g1.process.send_signal(signal.SIGCONT)
            until(lambda: g1.cluster["quotes_skipped"] > 0, "it serves only the newest")
            behind = f1.cluster["quotes_published"]
            while watcher.last[2] < behind:
                watcher.quote()
            assert watcher.missing == 0, "every quote that was not sent is accounted for"
            assert g1.cluster["reconnects"] == 0
        end_well(f1, g1)


def test_a_gateway_that_the_server_cuts_off_reconnects_says_so_and_counts(tmp_path: Path) -> None:
    with (
        # So impatient that a stop of a few seconds is enough.
        nats_server(tmp_path / "n1", 'write_deadline: "200ms"\n') as nats,
        feeder(tmp_path, "f1", nats.url, "--upstream", "sim:?rate=20000") as f1,
        gateway(tmp_path, "g1", nats.url) as g1,
    ):
        with watching(g1) as watcher:
            watcher.quote()
            g1.process.send_signal(signal.SIGSTOP)
            until(lambda: "Slow Consumer" in nats.log, "the server cuts it off")
            g1.process.send_signal(signal.SIGCONT)
            until(lambda: g1.cluster["reconnects"] >= 1, "it counts the loss")
            before = watcher.last
            while watcher.last[2] < before[2] + 4_000:
                watcher.quote()
        assert g1.end() == 0
        assert any("the connection to NATS was lost" in line for line in g1.talk)
        end_well(f1)
