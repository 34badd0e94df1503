from __future__ import annotations

import tomllib
from typing import Any

import pytest

from qcfeed.config import Config, NatsConfig, options
from qcfeed.config.option import Option
from qcfeed.errors import ConfigError
from qcfeed.workers import plan

BROKER = "nats://127.0.0.1:4333"


def planned(config: Config) -> list[plan.PlannedProcess]:
    return plan.processes(config, "8006", 8006, broker=BROKER, file="/run/config.toml")


def value(process: plan.PlannedProcess, flag: str) -> str:
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
    assert tomllib.loads(plan.configuration(config, 'a"\\\x7f\n')) == {
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
    assert plan.environment(inherited, "/run/1.ready", {"stuck": 2}) == {
        "PATH": "/bin",
        "XDG_RUNTIME_DIR": "/run/user/1",
        "NOTIFY_SOCKET": "/run/1.ready",
        "QCFEED_SUPERVISED": '{"stuck": 2}',
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
        plan.check(config, NatsConfig())
    plan.check(Config(workers=2, monitor=False, allow_drills=True), NatsConfig())


OF_SERVE = [(group, each) for group in (Config, NatsConfig) for each in options(group)]
NEEDS: dict[str, dict[str, Any]] = {
    "workers": {"workers": 3},
    "tls_cert": {"tls_key": "k"},
    "tls_key": {"tls_cert": "c"},
    "tls_client_ca": {"tls_cert": "c", "tls_key": "k"},
    "jwt_audience": {"jwt_key": "k"},
    "jwt_issuer": {"jwt_key": "k"},
    "stale_after": {"stale_after": 14.0},
    "very_stale_after": {"very_stale_after": 299.0},
    "dead_after": {"dead_after": 1_199.0},
    "upstream": {"upstream": "coinbase:"},
    "admin_listen": {"admin_listen": "127.0.0.1:9000"},
    "control_listen": {"control_listen": "127.0.0.1:9000"},
    "market_hours": {"market_hours": "Mon-Fri 09:30-16:00 America/New_York"},
    "trusted_proxy": {"trusted_proxy": "10.0.0.0/8"},
    "proxy_protocol": {"proxy_protocol": True, "trusted_proxy": "10.0.0.0/8"},
    "allow_origin": {"allow_origin": "https://desk.example.com"},
    "page": {"page": True, "admin_listen": "127.0.0.1:9000"},
    "page_token_file": {"page": True, "page_token_file": "t", "admin_listen": "127.0.0.1:9000"},
    "evidence_at": {"evidence_at": 0.5},
    "nats_key": {"nats_key": "k", "nats_cert": "c"},
}
"""Values that an option needs to be valid, in itself or beside others."""
OF_THE_SUPERVISOR = {"worker_timeout"}
"""Options that the supervisor itself uses, so that no process gets them."""


def other_value(option: Option) -> Any:
    """A valid value that is not the default."""
    if option.choices:
        return next(each for each in option.choices if each != option.default)
    if option.type is bool:
        return not option.default
    if option.type is str:
        return "x"
    return option.type((option.default if option.default is not None else option.least) + 1)


def made_of(config: Config) -> tuple[str, list[plan.PlannedProcess]]:
    """All that the processes get."""
    group = config.instance or str(config.port)
    file = plan.configuration(config, "password")
    return file, plan.processes(config, group, config.port, broker=BROKER, file="/run/config.toml")


@pytest.mark.parametrize(("group", "option"), OF_SERVE, ids=[each.name for _, each in OF_SERVE])
def test_every_option_of_serve_reaches_the_processes_or_is_refused(
    group: type[Config | NatsConfig], option: Option
) -> None:
    given = {option.name: other_value(option)} | NEEDS.get(option.name, {})
    if group is NatsConfig:
        with pytest.raises(ConfigError, match=f"{option.flag}|--nats-cert"):
            plan.check(Config(workers=2), NatsConfig(**given))
        return
    without = {name: value for name, value in given.items() if name != option.name}
    config = Config(**{"workers": 2} | given)
    try:
        plan.check(config, NatsConfig())
    except ConfigError as error:
        assert option.flag in error.message, error.message  # noqa: PT017 - either is right
    else:
        if option.name in OF_THE_SUPERVISOR:
            return
        # Where the option needs others, they alone may be invalid; the bare service is then the comparison.
        try:
            base = Config(**{"workers": 2} | without)
        except ConfigError:
            base = Config(workers=2)
        assert made_of(config) != made_of(base), f"{option.flag} is silently ignored"
