"""Which processes a service with workers has, and their command lines. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from qcfeed import supervised
from qcfeed.config import Config, NatsConfig, options
from qcfeed.config.option import Option, toml
from qcfeed.errors import ConfigError
from qcfeed.net.listen import parse_address

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

GATEWAY, FEEDER, BROKER = "gateway", "feeder", "nats"
NATS_USER = "qcfeed"

_OF_ONE_PROCESS = (
    "control_listen", "monitor_port", "monitor_web_port", "audit_log", "drill", "drill_for",
)  # fmt: skip
"""Options that name something which only one process can have."""
_SET_HERE = frozenset(("workers", "worker_timeout", "port", "admin_listen", "instance", "upstream"))
"""Options of the supervisor, and those whose values differ between the processes."""


class PlannedProcess(NamedTuple):
    """A process of qcfeed to run."""

    name: str
    role: str
    command: tuple[str, ...]


def check(config: Config, nats: NatsConfig) -> None:
    """Raise ConfigError for what cannot be used with ``--workers``, or would have no effect."""
    for option in _given(nats):
        raise ConfigError(
            f"{option.flag} has no effect with --workers, which starts a NATS server of its own with a"
            " password of its own",
            hint=f"omit it; `qcfeed config` shows whether a file or {option.variable} sets it",
        )
    for option in _given(config):
        if option.name in _OF_ONE_PROCESS:
            raise ConfigError(
                f"{option.flag} is for one process, and --workers starts several",
                hint="omit it: each process has a control socket, a monitor and an audit log of its own",
            )
        if option.name == "reuse_port":
            raise ConfigError(
                "--reuse-port has no effect with --workers, whose processes share the port already",
                hint="omit one of them",
            )
    if config.upstream.startswith(("nats:", "tls:")):
        raise ConfigError(
            f"--workers starts its own feeder, and --upstream {config.upstream} has feeders already",
            hint="name where quotes come from, or start gateways with --reuse-port instead",
        )


def _given(group: DataclassInstance) -> list[Option]:
    """The options that do not have their default."""
    return [each for each in options(type(group)) if getattr(group, each.name) != each.default]


def configuration(config: Config, password: str) -> str:
    """The configuration file of all processes: what was set for the service, and how to log in to NATS."""
    values: dict[str, Any] = {"nats_user": NATS_USER, "nats_password": password}
    for option in _given(config):
        if option.name not in _SET_HERE:
            values[option.name] = getattr(config, option.name)
    return "".join(f"{name} = {toml(value)}\n" for name, value in values.items())


def processes(
    config: Config, group: str, port: int, *, broker: str, file: str
) -> list[PlannedProcess]:
    """The feeder, then the gateways, which all accept connections on ``port``.

    ``group``: the name of the service. ``broker``: the URL of the NATS server. ``file``: the
    configuration file.
    """
    gateways = [f"{group}-{number}" for number in range(1, config.workers + 1)]
    admin = _admin_addresses(config)
    feeder = ("--upstream", config.upstream, "--to", broker, "--host", "127.0.0.1", *admin[-1])
    gateway = ("--upstream", broker, "--port", str(port), "--reuse-port")
    return [
        PlannedProcess(
            f"{group}-{FEEDER}", FEEDER, (*_qcfeed(file, f"{group}-{FEEDER}"), "feeder", *feeder)
        ),
        *(
            PlannedProcess(name, GATEWAY, (*_qcfeed(file, name), "serve", *gateway, *listen))
            for name, listen in zip(gateways, admin, strict=False)
        ),
    ]


def environment(
    inherited: Mapping[str, str],
    notify: str,
    restarts: Mapping[str, int],
    *,
    last: str | None = None,
    successor: bool = False,
) -> dict[str, str]:
    """The environment of a process: nothing that sets an option, or that is for the supervisor alone.

    ``notify``: the socket on which it reports that it is ready, as to systemd. ``restarts``: how often it
    was started again, by reason, which it shows as a metric; ``last``: the reason of the last time. ``successor``: its predecessor still runs.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(("QCFEED_", "WATCHDOG_", "LISTEN_")) and name != "NOTIFY_SOCKET"
    }
    described = supervised.describe(restarts, last=last, successor=successor)
    return kept | {"NOTIFY_SOCKET": notify, supervised.VARIABLE: described}


def _qcfeed(file: str, instance: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "qcfeed", "--config", file, "--instance", instance)


def _admin_addresses(config: Config) -> list[tuple[str, ...]]:
    """``--admin-listen`` of each gateway, then of the feeder: the port that was given, and those after it."""
    count = config.workers + 1
    if config.admin_listen is None:
        return [()] * count
    host, port = parse_address(config.admin_listen, "--admin-listen")
    shown = f"[{host}]" if ":" in host else host
    return [
        ("--admin-listen", f"{shown}:{port + number if port else 0}") for number in range(count)
    ]
