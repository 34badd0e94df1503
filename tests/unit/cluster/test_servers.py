from __future__ import annotations

from pathlib import Path

import pytest

from qcfeed.cluster import servers
from qcfeed.cluster.feeder import Feeder
from qcfeed.config import FeederConfig, NatsConfig
from qcfeed.errors import ConfigError
from qcfeed.upstreams import registry


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nats://one", ["nats://one:4222"]),
        ("nats://one:1,two", ["nats://one:1", "nats://two:4222"]),
        ("tls://one,tls://two:5", ["tls://one:4222", "tls://two:5"]),
        ("nats://[::1]:7", ["nats://[::1]:7"]),
    ],
)
def test_servers_are_a_list_with_the_usual_port(text: str, found: list[str]) -> None:
    assert servers.parse(text, "--to") == found


@pytest.mark.parametrize(
    "text", ["", "nats://", "one:4222", "http://one", "nats://one/x", "nats://one:x"]
)
def test_what_names_no_server_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--to"):
        servers.parse(text, "--to")


def test_a_password_on_the_command_line_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        servers.parse("nats://user:hunter2@one:4222", "--upstream")
    assert "hunter2" not in str(refused.value) + str(refused.value.hint)
    assert "--nats-password-file" in str(refused.value.hint)


def test_a_password_comes_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    file.chmod(0o600)
    config = NatsConfig(nats_user="feeder", nats_password_file=str(file))
    assert servers.login(config) == {"user": "feeder", "password": "hunter2"}
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="every user"):
        servers.login(config)


def test_only_one_way_to_log_in_is_accepted() -> None:
    with pytest.raises(ConfigError, match="one way"):
        NatsConfig(nats_user="feeder", nats_token="secret")


def test_credentials_that_cannot_be_read_are_told_before_anything_starts(tmp_path: Path) -> None:
    config = NatsConfig(nats_creds=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="cannot read"):
        registry.connect("nats://one", groups=[config])
    with pytest.raises(ConfigError, match="cannot read"):
        Feeder(FeederConfig(to="nats://one"), config)
