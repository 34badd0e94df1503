"""Each way to log in to NATS, with a real server: right, wrong, and certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcfeed.cluster.bucket import open_bucket
from qcfeed.cluster.connection import connect
from qcfeed.config import NatsConfig
from qcfeed.errors import UpstreamError
from tests.support.certificates import Certificates
from tests.support.nats_accounts import Operator, user_key
from tests.support.nats_server import nats_server, needs_nats

pytestmark = needs_nats


def secret(file: Path, text: str) -> str:
    file.touch(mode=0o600)
    file.write_text(f"{text}\n")
    return str(file)


Case = tuple[str, dict[str, Any], dict[str, Any]]
"""The server's configuration, the options that it accepts, and those that it refuses."""


def passwords(home: Path) -> Case:
    def options(word: str) -> dict[str, Any]:
        return {"nats_user": "me", "nats_password_file": secret(home / word, word)}

    users = "authorization { users: [ {user: me, password: right} ] }\n"
    return users, options("right"), options("wrong")


def tokens(home: Path) -> Case:
    def options(word: str) -> dict[str, Any]:
        return {"nats_token_file": secret(home / word, word)}

    return "authorization { token: right }\n", options("right"), options("wrong")


def nkeys(home: Path) -> Case:
    known, unknown = user_key(), user_key()
    users = f"authorization {{ users: [ {{nkey: {known.public}}} ] }}\n"
    return (
        users,
        {"nats_nkey": secret(home / "known", known.seed)},
        {"nats_nkey": secret(home / "unknown", unknown.seed)},
    )


def credentials(home: Path) -> Case:
    operator, other = Operator(), Operator()
    return (
        operator.configuration(),
        {"nats_creds": str(operator.user(home / "right.creds", user_key()))},
        {"nats_creds": str(other.user(home / "wrong.creds", user_key()))},
    )


def expired(home: Path) -> Case:
    operator = Operator()
    return (
        operator.configuration(),
        {"nats_creds": str(operator.user(home / "right.creds", user_key()))},
        {"nats_creds": str(operator.user(home / "old.creds", user_key(), exp=1_000_000))},
    )


@pytest.mark.parametrize("case", [passwords, tokens, nkeys, credentials, expired])
def test_who_logs_in_is_accepted_and_others_are_refused_with_the_reason(
    tmp_path: Path, case: Callable[[Path], Case]
) -> None:
    configuration, right, wrong = case(tmp_path)

    async def log_in(url: str) -> None:
        connection = await connect([url], NatsConfig(**right), "right")
        await open_bucket(connection, ttl=1.0, replicas=1, first_revision=1)
        await connection.close()
        for options in (wrong, {}):
            with pytest.raises(UpstreamError, match="refuses the login"):
                await connect([url], NatsConfig(**options), "wrong")

    with nats_server(tmp_path / "n1", configuration) as nats:
        asyncio.run(log_in(nats.url))


def test_a_server_with_tls_is_verified_and_asks_for_a_client_certificate(tmp_path: Path) -> None:
    ours, theirs = Certificates(tmp_path / "ours"), Certificates(tmp_path / "theirs")
    ours.issue()
    configuration = (
        f'tls {{ cert_file: "{ours.cert}", key_file: "{ours.key}", ca_file: "{ours.ca}",'
        " verify: true }\n"
    )
    client = {"nats_ca": str(ours.ca), "nats_cert": str(ours.client("gateway"))}

    async def log_in(url: str) -> None:
        connection = await connect([url], NatsConfig(**client), "right")
        await connection.publish("qc.test", b"x")
        await connection.close()
        foreign = {"nats_ca": str(theirs.ca), "nats_cert": client["nats_cert"]}
        with pytest.raises(UpstreamError, match="certificate verify failed"):
            await connect([url], NatsConfig(**foreign), "wrong CA")
        # A reset may overtake the alert that has the reason, each time.
        told = "(refuses the|verifies) client certificates?.*see --nats-cert"
        with pytest.raises(UpstreamError, match=told):
            await connect([url], NatsConfig(nats_ca=client["nats_ca"]), "no certificate")
        stranger = client | {"nats_cert": str(theirs.client("stranger"))}
        with pytest.raises(UpstreamError, match=told):
            await connect([url], NatsConfig(**stranger), "a stranger's certificate")

    with nats_server(tmp_path / "n1", configuration) as nats:
        asyncio.run(log_in(nats.url.replace("nats://", "tls://")))


def test_tls_is_verified_also_where_only_the_server_demands_it(tmp_path: Path) -> None:
    ours = Certificates(tmp_path / "ours")
    ours.issue()
    configuration = f'tls {{ cert_file: "{ours.cert}", key_file: "{ours.key}" }}\n'

    async def log_in(url: str) -> None:
        with pytest.raises(UpstreamError, match="see --nats-ca"):
            await connect([url], NatsConfig(), "plain")

    with nats_server(tmp_path / "n1", configuration) as nats:
        asyncio.run(log_in(nats.url))
