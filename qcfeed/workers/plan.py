"""Which processes a service with workers has, and their command lines. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from qcfeed.config import Config, options
from qcfeed.config.option import toml
from qcfeed.errors import ConfigError
from qcfeed.net.listen import parse_address
from qcfeed.service.run import SUPERVISED

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

GATEWAY, FEEDER, BROKER = "gateway", "feeder", "nats"
NATS_USER = "qcfeed"

_OF_ONE_PROCESS = (
    "control_listen", "monitor_port", "monitor_web_port", "audit_log", "drill", "drill_for",
)  # fmt: skip
"""Options that name something which only one process can have."""
_SET_HERE = frozenset(("workers", "port", "reuse_port", "admin_listen", "instance", "upstream"))
"""Options whose values differ between the processes."""


class Process(NamedTuple):
    """A process of qcfeed to run."""

    name: str
    role: str
    command: tuple[str, ...]


def check(config: Config) -> None:
    """Raise ConfigError for what cannot be used with ``--workers``."""
    declared = {option.name: option for option in options()}
    for name in _OF_ONE_PROCESS:
        if getattr(config, name) != declared[name].default:
            raise ConfigError(
                f"{declared[name].flag} is for one process, and --workers starts several",
                hint="omit it: each process has a control socket, a monitor and an audit log of its own",
            )
    if config.upstream.startswith(("nats:", "tls:")):
        raise ConfigError(
            f"--workers starts its own feeder, and --upstream {config.upstream} has feeders already",
            hint="name where quotes come from, or start gateways with --reuse-port instead",
        )


def configuration(groups: Iterable[DataclassInstance], password: str) -> str:
    """The configuration file of all processes: what was set for the service, and how to log in to NATS."""
    values: dict[str, Any] = {"nats_user": NATS_USER, "nats_password": password}
    for group in groups:
        for option in options(type(group)):
            value = getattr(group, option.name)
            if option.name not in _SET_HERE and value != option.default:
                values[option.name] = value
    return "".join(f"{name} = {toml(value)}\n" for name, value in values.items())


def processes(config: Config, group: str, port: int, *, broker: str, file: str) -> list[Process]:
    """The feeder, then the gateways, which all accept connections on ``port``.

    ``group``: the name of the service. ``broker``: the URL of the NATS server. ``file``: the
    configuration file.
    """
    gateways = [f"{group}-{number}" for number in range(1, config.workers + 1)]
    admin = _admin_addresses(config)
    feeder = ("--upstream", config.upstream, "--to", broker, "--host", "127.0.0.1", *admin[-1])
    gateway = ("--upstream", broker, "--port", str(port), "--reuse-port")
    return [
        Process(
            f"{group}-{FEEDER}", FEEDER, (*_qcfeed(file, f"{group}-{FEEDER}"), "feeder", *feeder)
        ),
        *(
            Process(name, GATEWAY, (*_qcfeed(file, name), "serve", *gateway, *listen))
            for name, listen in zip(gateways, admin, strict=False)
        ),
    ]


def environment(inherited: Mapping[str, str], notify: str) -> dict[str, str]:
    """The environment of a process: nothing that sets an option, or that is for the supervisor alone.

    ``notify``: the socket on which it reports that it is ready, as to systemd.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(("QCFEED_", "WATCHDOG_", "LISTEN_")) and name != "NOTIFY_SOCKET"
    }
    return kept | {"NOTIFY_SOCKET": notify, SUPERVISED: "1"}


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
