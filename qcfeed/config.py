"""Every option, declared once: name, type, default, help; a dataclass for the service's and one for
Prometheus'.

From a declaration come the flag (``--drain-timeout``), the environment variable
(``QCFEED_DRAIN_TIMEOUT``) and the file's key (``drain_timeout``). Later sources win:
default < file < environment < flag. ``origins`` remembers which did.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qcfeed.errors import ConfigError
from qcfeed.model import market_hours as market
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.options import Option, check, convert, options_of
from qcfeed.options import declare as _option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Group = TypeVar("Group", bound="DataclassInstance")


DEFAULT = "default"
"""The origin of a value that nobody set."""

SPARE_FILES = 200
"""Files beside the connections: sockets of the control plane and monitor, modules, logs."""

PORTS = 65_535
CONTEXTS = "contexts"
"""The file's table that holds no options but other services (contexts.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How a service runs. Times are in seconds."""

    host: str = _option("127.0.0.1", "Address that takes WebSocket connections.")
    port: int = _option(
        8006, "Port for WebSocket connections; 0 for any free one.", least=0, most=PORTS
    )
    reuse_port: bool = _option(
        False,
        "Share the port with other instances that say so too: the kernel spreads connections over them.",
    )
    admin_listen: str | None = _option(
        None, "HOST:PORT for /livez, /readyz and /metrics instead of the WebSocket port."
    )
    instance: str | None = _option(
        None,
        "Name of this instance; the port, if not given; with --reuse-port the first free of PORT-1, PORT-2.",
    )
    upstream: str = _option(
        "sim:", "Where quotes come from: sim:, replay:FILE, coinbase:, coinbase+ws://HOST:PORT/."
    )

    linger: float = _option(5.0, "How long a feed outlives its last subscriber.", least=0)
    stale_after: float = _option(
        15.0, "Age of the last quote from which a symbol is stale.", least=0
    )
    very_stale_after: float = _option(300.0, "Age from which it is very stale.", least=0)
    dead_after: float = _option(1200.0, "Age from which it is dead.", least=0)

    market_hours: str = _option(
        market.ALWAYS,
        "When quotes are to be expected, for the alerts on stale ones: always, or as in"
        " 'Mon-Fri 09:30-16:00 America/New_York except 2026-11-26,2026-12-25'.",
    )

    max_connections: int = _option(10_000, "Connections at once; more are refused.", least=1)
    max_symbols: int = _option(1_000, "Symbols one connection may hold.", least=1)
    subscribe_rate: float = _option(
        2_000.0, "New subscriptions a second, over all connections; more are refused.", least=0
    )
    max_message_size: int = _option(65_536, "Bytes of one client message.", least=125)
    ping_interval: float = _option(
        20.0, "How often a connection is asked whether it lives; 0 for never.", least=0
    )
    stall_timeout: float = _option(
        20.0, "How long a peer may leave a ping or data unanswered before it is dropped.", least=0.1
    )
    send_buffer: int = _option(
        131_072,
        "Bytes of kernel send buffer a connection (Linux keeps twice that), and of one write to it.",
        least=4_608,
    )
    max_lag: int = _option(
        1_024,
        "Quotes a connection may leave unread, over all its symbols, before --slow applies.",
        least=2,
        most=65_536,
    )
    slow: str = _option(
        SlowConsumerPolicy.CONFLATE.value,
        "What becomes of a connection that reads too slowly: conflate (only the newest quote a"
        " symbol), drop-oldest or disconnect; a client may ask otherwise (?slow=).",
        choices=tuple(SlowConsumerPolicy),
    )

    monitor: bool = _option(True, "Attach aiomonitor (telnet and web task views, loopback only).")
    monitor_port: int = _option(
        0, "Port of aiomonitor's telnet view; 0 for any free one.", least=0, most=PORTS
    )
    monitor_web_port: int = _option(
        0, "Port of aiomonitor's web view; 0 for any free one.", least=0, most=PORTS
    )
    monitor_console: bool = _option(False, "Allow aiomonitor's Python console: it runs any code.")

    control_listen: str | None = _option(
        None, "HOST:PORT (loopback) for the control plane over TCP, with a bearer token."
    )
    audit_log: str | None = _option(
        None, "File of actions taken (JSON lines); under the state directory, if not given."
    )
    spawn_stacks: int = _option(
        0,
        "Calls kept of each task's spawning, for `tasks show`; 8 make a spawn cost 1.4 times as much.",
        least=0,
        most=32,
    )
    drain_timeout: float = _option(10.0, "How long leaving politely may take.", least=0)
    drill: str | None = _option(
        None,
        "Break this service on purpose, to rehearse: zombie-feeds or zombie-feeds=47829"
        " (`qcfeed drill list` has them all).",
    )
    drill_for: float | None = _option(
        None, "How long that drill lasts; its own time, if not given.", least=0.1, most=86_400
    )
    allow_drills: bool = _option(
        False, "Allow `qcfeed drill start` to break this service; never in production."
    )

    def __post_init__(self) -> None:
        check(self)
        try:
            market.parse(self.market_hours)
        except ValueError as error:
            raise ConfigError(
                f"--market-hours is {self.market_hours!r}: {error}",
                hint="give it like 'Mon-Fri 09:30-16:00 America/New_York', in quotes",
            ) from error
        if not 0 < self.stale_after <= self.very_stale_after <= self.dead_after:
            raise ConfigError(
                "staleness bands are out of order:"
                f" stale {self.stale_after:g} s, very stale {self.very_stale_after:g} s,"
                f" dead {self.dead_after:g} s",
                hint="give --stale-after <= --very-stale-after <= --dead-after, all above 0",
            )

    @property
    def drills_allowed(self) -> bool:
        """Whether the service may be broken on purpose: one that starts with a drill, too."""
        return self.allow_drills or self.drill is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig:
    """Where Prometheus is and how it is asked, for ``growth``, ``alerts`` and who else asks it."""

    prometheus: str | None = _option(None, "Prometheus, as http://HOST:9090.", metavar="URL")
    prometheus_target: str | None = _option(
        None, "Which scraped service, where there are several: its instance, or job/instance."
    )
    prometheus_user: str | None = _option(None, "User, for basic authentication.")
    prometheus_password: str | None = _option(None, "The user's password.", secret=True)
    prometheus_password_file: str | None = _option(
        None, "File with the user's password.", metavar="FILE"
    )
    prometheus_token: str | None = _option(None, "A bearer token.", secret=True)
    prometheus_token_file: str | None = _option(None, "File with a bearer token.", metavar="FILE")
    prometheus_ca: str | None = _option(
        None, "Certificates (PEM) that its own must be signed by.", metavar="FILE"
    )
    prometheus_cert: str | None = _option(
        None,
        "Client certificate (PEM), with its key unless that is a file of its own.",
        metavar="FILE",
    )
    prometheus_key: str | None = _option(None, "Key of the client certificate.", metavar="FILE")
    prometheus_insecure: bool = _option(False, "Do not check the certificate of Prometheus.")

    def __post_init__(self) -> None:
        check(self)
        if self.prometheus_key and not self.prometheus_cert:
            raise ConfigError(
                "--prometheus-key is the key of no certificate: give --prometheus-cert"
            )
        ways = (self.prometheus_user, self.prometheus_token or self.prometheus_token_file)
        if all(ways):
            raise ConfigError("Prometheus is asked with a user or with a token, not with both")


def options(group: type[DataclassInstance] = Config) -> list[Option]:
    """A group's options (Config or PrometheusConfig), in the order of their declaration."""
    return options_of(group)


def all_options() -> list[Option]:
    """The options of every group."""
    return [option for group in GROUPS for option in options(group)]


GROUPS: tuple[type[DataclassInstance], ...] = (Config, PrometheusConfig)
"""One file and one environment hold them all."""


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Group]):
    """A configuration and where each value came from: ``default``, a file, a variable, a flag."""

    config: Group
    origins: Mapping[str, str]


def load(
    flags: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Loaded[Config]:
    """The service's configuration; as ``load_group``."""
    return load_group(Config, flags, environment=environment, file=file)


def load_group(
    group: type[Group],
    flags: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Loaded[Group]:
    """A group's configuration from all sources; ``flags`` holds only those that were given.

    Without ``file``, ``$QCFEED_CONFIG`` and then ``$XDG_CONFIG_HOME/qcfeed/config.toml`` are read
    where they exist. Raises ConfigError, naming the key and its source.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    known = {option.name: option for option in all_options()}
    wanted = {option.name for option in options(group)}
    for source, given in (
        *_from_file(file, environment),
        *_from_environment(environment, known),
        *((known[name].flag, {name: value}) for name, value in flags.items()),
    ):
        for name, value in given.items():
            converted = convert(known, name, value, source)
            if name in wanted:
                values[name] = converted
                origins[name] = source
    return Loaded(group(**values), {name: origins.get(name, DEFAULT) for name in wanted})


def default_file(environment: Mapping[str, str]) -> Path:
    """Where the configuration file is looked for when nobody says."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")) / ".config"
    return Path(home).expanduser() / "qcfeed" / "config.toml"


def read_file(
    file: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[Path, dict[str, Any]] | None:
    """The configuration file and what is in it; None if none is named and none is there.

    Raises ConfigError for one that is named and missing, or that cannot be read.
    """
    path = file_in_use(file, environment)
    try:
        with path.open("rb") as stream:
            return path, tomllib.load(stream)
    except FileNotFoundError as error:
        if path == default_file(environment):
            return None
        raise ConfigError(
            f"there is no configuration file {path}",
            hint=f"check --config or $QCFEED_CONFIG; `qcfeed config init {path}` writes one",
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def file_in_use(file: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The file that is read, whether it is there or not: the one named, else the default one."""
    named = environment.get("QCFEED_CONFIG")
    return file or (Path(named) if named else default_file(environment))


def _from_file(
    file: Path | None, environment: Mapping[str, str]
) -> list[tuple[str, Mapping[str, Any]]]:
    found = read_file(file, environment)
    if found is None:
        return []
    path, content = found
    return [(str(path), {key: value for key, value in content.items() if key != CONTEXTS})]


def _from_environment(
    environment: Mapping[str, str], known: Mapping[str, Option]
) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"${option.variable}", {option.name: environment[option.variable]})
        for option in known.values()
        if option.variable in environment
    ]
