from __future__ import annotations

import tomllib

import pytest

from qcfeed.config import Config
from qcfeed.errors import ConfigError
from qcfeed.workers import plan

BROKER = "nats://127.0.0.1:4333"


def planned(config: Config) -> list[plan.Process]:
    return plan.processes(config, "8006", 8006, broker=BROKER, file="/run/config.toml")


def value(process: plan.Process, flag: str) -> str:
    return process.command[process.command.index(flag) + 1]


def test_there_are_a_feeder_and_as_many_gateways_as_asked_for() -> None:
    feeder, *gateways = planned(Config(workers=3, upstream="coinbase:"))
    assert (feeder.name, feeder.role) == ("8006-feeder", "feeder")
    assert [each.name for each in gateways] == ["8006-1", "8006-2", "8006-3"]
    assert value(feeder, "--upstream") == "coinbase:"
    assert value(feeder, "--to") == BROKER
    assert value(feeder, "--host") == "127.0.0.1", "its port is for health checks"
    for each in gateways:
        assert value(each, "--instance") == each.name
        assert value(each, "--upstream") == BROKER
        assert value(each, "--port") == "8006"
        assert "--reuse-port" in each.command


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, []),
        ("127.0.0.1:9000", ["127.0.0.1:9000", "127.0.0.1:9001", "127.0.0.1:9002"]),
        ("[::1]:0", ["[::1]:0", "[::1]:0", "[::1]:0"]),
    ],
)
def test_each_process_has_an_admin_port_of_its_own(given: str | None, expected: list[str]) -> None:
    feeder, *gateways = planned(Config(workers=2, admin_listen=given))
    told = [value(each, "--admin-listen") for each in (*gateways, feeder) if given]
    assert told == expected


def test_the_file_has_what_was_set_and_nothing_that_differs_between_processes() -> None:
    config = Config(
        workers=2, port=7, host="::", linger=1.5, slow="disconnect", monitor=False,
        market_hours="Mon-Fri 09:30-16:00 America/New_York", upstream="sim:", instance="x",
    )  # fmt: skip
    assert tomllib.loads(plan.configuration([config], 'a"\\\x7f\n')) == {
        "nats_user": "qcfeed",
        "nats_password": 'a"\\\x7f\n',
        "host": "::",
        "linger": 1.5,
        "slow": "disconnect",
        "monitor": False,
        "market_hours": "Mon-Fri 09:30-16:00 America/New_York",
    }


def test_the_environment_sets_no_option_and_is_not_the_supervisors() -> None:
    inherited = {
        "PATH": "/bin", "QCFEED_PORT": "1", "QCFEED_CONTEXT": "prod", "NOTIFY_SOCKET": "/run/systemd",
        "WATCHDOG_PID": "1", "LISTEN_FDS": "1", "XDG_RUNTIME_DIR": "/run/user/1",
    }  # fmt: skip
    assert plan.environment(inherited, "/run/1.ready") == {
        "PATH": "/bin",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "NOTIFY_SOCKET": "/run/1.ready",
        "QCFEED_SUPERVISED": "1",
    }


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Config(workers=2, control_listen="127.0.0.1:1"), "--control-listen is for one process"),
        (Config(workers=2, monitor_port=5), "--monitor-port is for one process"),
        (Config(workers=2, audit_log="x"), "--audit-log is for one process"),
        (Config(workers=2, drill="zombie-feeds"), "--drill is for one process"),
        (Config(workers=2, upstream="nats://h"), "has feeders already"),
        (Config(workers=2, upstream="tls://h"), "has feeders already"),
    ],
)
def test_what_one_process_can_have_is_refused(config: Config, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan.check(config)
    plan.check(Config(workers=2, monitor=False, allow_drills=True))
