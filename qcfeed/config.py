"""Declares every option once: name, type, default and help. config_loading.py loads their values.

Config holds the options of the service, the other groups those of one purpose. Each declaration defines
a flag (``--drain-timeout``), an environment variable (``QCFEED_DRAIN_TIMEOUT``) and a key of the
configuration file (``drain_timeout``).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qcfeed.access import browser_origin, trusted_proxies
from qcfeed.access.client_limits import UNLIMITED, ClientLimits
from qcfeed.errors import ConfigError
from qcfeed.formats import clipped
from qcfeed.model import market_hours as market
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.options import Option, check, options_of
from qcfeed.options import declare as _option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


SPARE_FILES = 200
"""File descriptors to allow for beside connections: control plane, monitor, modules, logs."""

MAX_PORT = 65_535


REMOTE_LIMITS = ClientLimits(
    connections=1_000,
    connect_rate=100.0,
    request_rate=500.0,
    subscriptions=20_000,
    symbols=5_000,
    feed_rate=100.0,
    denial_rate=5.0,
)
"""The limits of clients on other machines, where their options are not given."""


def _client_limit(remote: float, what: str) -> Any:
    """An option that limits a client. Its name is ``client_`` and the name in ClientLimits."""
    return _option(
        None,
        f"Maximum {what} of one client (an address or an API key); 0 for no limit."
        f" Default: {remote:g}, and no limit for clients on loopback.",
        least=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The options of a service. Times are in seconds."""

    host: str = _option("127.0.0.1", "Address to accept WebSocket connections on.")
    port: int = _option(
        8006, "Port for WebSocket connections; 0 picks a free one.", least=0, most=MAX_PORT
    )
    reuse_port: bool = _option(
        False,
        "Share the port with other instances started with this option (SO_REUSEPORT): the kernel"
        " spreads connections over them.",
    )
    workers: int = _option(
        0,
        "Start this many processes behind the port, and one that feeds them: for machines with many"
        " cores. Limits apply to each process; --admin-listen names the first one's port, the others have"
        " those after it. 0: serve in this process.",
        least=0,
        most=256,
    )
    admin_listen: str | None = _option(
        None, "HOST:PORT to serve /livez, /readyz and /metrics on, instead of the WebSocket port."
    )
    allow_origin: str = _option(
        "",
        "Origins of web pages that may connect, separated by commas, for example"
        " https://desk.example.com; * allows all. Pages of this service's own address always may.",
    )
    allow_host: str = _option(
        "",
        "Host names under which the service answers, separated by commas; * allows all. Default: all,"
        " but on a loopback address only localhost and loopback addresses.",
    )
    trusted_proxy: str = _option(
        "",
        "Networks of the proxies in front of the service, separated by commas, for example 10.0.0.0/8:"
        " X-Forwarded-For, Forwarded and the PROXY protocol are believed from them alone.",
        metavar="CIDR",
    )
    proxy_protocol: bool = _option(
        False, "Require a PROXY protocol header (version 1 or 2) on every connection for quotes."
    )
    tls_cert: str | None = _option(
        None,
        "Serve the WebSocket port with TLS: file with the certificate and its chain (PEM). Files are"
        " loaded again when they change, and on SIGHUP.",
        metavar="FILE",
    )
    tls_key: str | None = _option(
        None, "File with the private key of --tls-cert (PEM).", metavar="FILE"
    )
    tls_client_ca: str | None = _option(
        None,
        "Require client certificates that are signed by a CA in this file (PEM).",
        metavar="FILE",
    )
    instance: str | None = _option(
        None,
        "Name of this instance. Default: the port; with --reuse-port, the first free of PORT-1,"
        " PORT-2, ...",
    )
    upstream: str = _option(
        "sim:",
        "Source of quotes: sim:, replay:FILE, coinbase:, coinbase+ws://HOST:PORT/, feeders behind"
        " nats://HOST:PORT,HOST2:PORT, or the scheme of an installed package.",
    )

    linger: float = _option(
        5.0, "Seconds to keep a feed open after its last subscriber has left.", least=0
    )
    stale_after: float = _option(
        15.0, "Seconds without a quote after which a symbol is stale.", least=0
    )
    very_stale_after: float = _option(
        300.0, "Seconds without a quote after which a symbol is very stale.", least=0
    )
    dead_after: float = _option(
        1200.0, "Seconds without a quote after which a symbol is dead.", least=0
    )

    market_hours: str = _option(
        market.ALWAYS,
        "When quotes are expected, for the staleness alerts: 'always', or for example"
        " 'Mon-Fri 09:30-16:00 America/New_York except 2026-11-26,2026-12-25'.",
    )

    max_connections: int = _option(
        10_000, "Maximum number of open connections; more are refused.", least=1
    )
    max_symbols: int = _option(1_000, "Maximum number of symbols per connection.", least=1)
    subscribe_rate: float = _option(
        2_000.0,
        "Maximum new subscriptions per second, over all connections; more are refused.",
        least=0,
    )
    request_rate: float = _option(
        50.0,
        "Maximum requests per second and connection; ten symbols of a request count as one more."
        " 0 for no limit.",
        least=0,
    )
    client_connections: int | None = _client_limit(REMOTE_LIMITS.connections, "open connections")
    client_connect_rate: float | None = _client_limit(
        REMOTE_LIMITS.connect_rate, "new connections per second"
    )
    client_request_rate: float | None = _client_limit(
        REMOTE_LIMITS.request_rate, "requests per second"
    )
    client_subscriptions: int | None = _client_limit(REMOTE_LIMITS.subscriptions, "subscriptions")
    client_symbols: int | None = _client_limit(REMOTE_LIMITS.symbols, "different symbols")
    client_feed_rate: float | None = _client_limit(
        REMOTE_LIMITS.feed_rate, "feeds per second, opened for the subscriptions"
    )
    client_denial_rate: float | None = _client_limit(
        REMOTE_LIMITS.denial_rate, "wrong API keys and tokens per second"
    )
    max_message_size: int = _option(
        65_536, "Maximum size of a message from a client, in bytes.", least=125
    )
    ping_interval: float = _option(
        20.0, "Seconds between pings on each connection; 0 sends none.", least=0
    )
    stall_timeout: float = _option(
        20.0,
        "Seconds to wait for a pong, or for the peer to read data, before dropping the connection.",
        least=0.1,
    )
    send_buffer: int = _option(
        131_072,
        "Size of each connection's kernel send buffer (SO_SNDBUF) and of a single write, in bytes;"
        " Linux doubles the buffer.",
        least=4_608,
    )
    max_lag: int = _option(
        1_024,
        "Unread quotes per connection, over all its symbols, at which --slow applies.",
        least=2,
        most=65_536,
    )
    slow: str = _option(
        SlowConsumerPolicy.CONFLATE.value,
        "Policy for connections that read too slowly: conflate (send only the newest quote per"
        " symbol), drop-oldest or disconnect. A client may choose its own with ?slow=.",
        choices=tuple(SlowConsumerPolicy),
    )

    keys: str | None = _option(
        None,
        "File of API keys, which `qcfeed keys` manages: subscribers must present one.",
        metavar="FILE",
    )
    jwt_key: str | None = _option(
        None,
        "File with the key that verifies JSON Web Tokens, which subscribers must then present: a public"
        " key in PEM (RS256, EdDSA) or a secret (HS256).",
        metavar="FILE",
    )
    jwt_jwks: str | None = _option(
        None,
        "JSON Web Key Set that verifies JSON Web Tokens: a file, or an https URL.",
        metavar="FILE|URL",
    )
    jwt_audience: str | None = _option(None, "Audience (aud) that JSON Web Tokens must name.")
    jwt_issuer: str | None = _option(None, "Issuer (iss) that JSON Web Tokens must name.")
    jwt_leeway: float = _option(
        10.0,
        "Seconds by which the clocks of the issuer and of this machine may differ.",
        least=0,
        most=300,
    )
    jwt_symbols_claim: str = _option(
        "symbols",
        "Claim that lists the symbols that a JSON Web Token allows, such as ['AAPL', 'BTC-*'];"
        " empty: all.",
    )
    metrics_token_file: str | None = _option(
        None, "File with a bearer token that /metrics demands.", metavar="FILE"
    )

    monitor: bool = _option(
        True, "Attach aiomonitor (telnet and web views of tasks, loopback only)."
    )
    monitor_port: int = _option(
        0, "Port of aiomonitor's telnet view; 0 picks a free one.", least=0, most=MAX_PORT
    )
    monitor_web_port: int = _option(
        0, "Port of aiomonitor's web view; 0 picks a free one.", least=0, most=MAX_PORT
    )
    monitor_console: bool = _option(
        False, "Allow aiomonitor's Python console, which can run any code."
    )

    control_listen: str | None = _option(
        None, "HOST:PORT (loopback) to serve the control plane on as well, with a bearer token."
    )
    audit_log: str | None = _option(
        None, "File for the log of actions (JSON lines). Default: a file in the state directory."
    )
    spawn_stacks: int = _option(
        0,
        "Number of calls to record of each task's spawn stack, for `tasks show`; with 8, spawning a"
        " task costs 1.4 times as much.",
        least=0,
        most=32,
    )
    spawn_through: str = _option(
        "",
        "Functions, classes or modules that create tasks for their callers, separated by commas, for"
        " example qcfeed.server.feed.UpstreamTask: the line that calls them is the spawn location.",
    )
    drain_timeout: float = _option(10.0, "Graceful shutdown timeout, in seconds.", least=0)
    drill: str | None = _option(
        None,
        "Start with this drill active: NAME or NAME=N, for example zombie-feeds=47829."
        " `qcfeed drill list` lists them.",
    )
    drill_for: float | None = _option(
        None,
        "Duration of that drill, in seconds. Default: the drill's own.",
        least=0.1,
        most=86_400,
    )
    log_format: str = _option(
        "text",
        "Form of the log on stderr: text, or json (one object per line).",
        choices=("text", "json"),
    )
    allow_drills: bool = _option(
        False, "Allow `qcfeed drill start` to inject faults here; not for production."
    )

    def __post_init__(self) -> None:
        check(self)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError(
                "--tls-cert and --tls-key belong together, and only one of them is given",
                hint="give the files of both, certificate and private key, in PEM",
            )
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ConfigError("--tls-client-ca needs --tls-cert and --tls-key")
        try:
            market.parse(self.market_hours)
        except ValueError as error:
            raise ConfigError(
                f"--market-hours is {self.market_hours!r}: {error}",
                hint="write it like 'Mon-Fri 09:30-16:00 America/New_York', in quotes",
            ) from error
        if not 0 < self.stale_after <= self.very_stale_after <= self.dead_after:
            raise ConfigError(
                "staleness bands are out of order:"
                f" stale {self.stale_after:g} s, very stale {self.very_stale_after:g} s,"
                f" dead {self.dead_after:g} s",
                hint="give --stale-after <= --very-stale-after <= --dead-after, all above 0",
            )

        self._check_tokens()
        self._check_proxies()

    def _check_proxies(self) -> None:
        try:
            networks = trusted_proxies.parse_networks(self.trusted_proxy)
        except ValueError as error:
            raise ConfigError(
                f"--trusted-proxy: {error}", hint="for example --trusted-proxy 10.0.0.0/8,::1"
            ) from error
        if self.proxy_protocol and not networks:
            raise ConfigError(
                "--proxy-protocol needs --trusted-proxy: only its networks may send that header",
                hint="for a proxy on this machine: --trusted-proxy 127.0.0.1",
            )
        for origin in browser_origin.parse_list(self.allow_origin):
            if origin not in (browser_origin.ANY, "null") and not browser_origin.is_origin(origin):
                raise ConfigError(
                    f"--allow-origin: {clipped(repr(origin))} is not an origin",
                    hint="write it as a browser does: https://desk.example.com",
                )

    def _check_tokens(self) -> None:
        if self.jwt_key and self.jwt_jwks:
            raise ConfigError(
                "--jwt-key and --jwt-jwks each name a key", hint="give only one of them"
            )
        if (self.jwt_audience or self.jwt_issuer) and not (self.jwt_key or self.jwt_jwks):
            raise ConfigError(
                "--jwt-audience and --jwt-issuer need a key to verify tokens with",
                hint="give --jwt-key FILE or --jwt-jwks FILE|URL",
            )

    @property
    def authenticates(self) -> bool:
        """Whether subscribers must present an API key or a token."""
        return bool(self.keys or self.jwt_key or self.jwt_jwks)

    def client_limits(self, *, loopback: bool) -> ClientLimits:
        """The limits of a client on a loopback address, or on another one."""
        default = UNLIMITED if loopback else REMOTE_LIMITS
        given = {
            name: getattr(self, f"client_{name}") for name in ClientLimits.__dataclass_fields__
        }
        return dataclasses.replace(
            default, **{name: value for name, value in given.items() if value is not None}
        )

    @property
    def drills_allowed(self) -> bool:
        """Whether drills may be started: also in a service that starts with one."""
        return self.allow_drills or self.drill is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig:
    """How to connect to Prometheus, for ``growth``, ``alerts``, ``diagnose``, ``report`` and ``doctor``."""

    prometheus: str | None = _option(
        None, "URL of the Prometheus server, for example http://HOST:9090.", metavar="URL"
    )
    prometheus_target: str | None = _option(
        None, "Scrape target of the service, if there are several: its instance, or job/instance."
    )
    prometheus_user: str | None = _option(None, "User name for basic authentication.")
    prometheus_password: str | None = _option(
        None, "Password for basic authentication.", secret=True
    )
    prometheus_password_file: str | None = _option(
        None, "File that contains the password.", metavar="FILE"
    )
    prometheus_token: str | None = _option(None, "Bearer token.", secret=True)
    prometheus_token_file: str | None = _option(
        None, "File that contains the bearer token.", metavar="FILE"
    )
    prometheus_tenant: str | None = _option(
        None, "Tenant of a shared server such as Mimir or Cortex, sent as X-Scope-OrgID."
    )
    prometheus_ca: str | None = _option(
        None, "CA certificates (PEM) to verify the server's certificate with.", metavar="FILE"
    )
    prometheus_cert: str | None = _option(
        None,
        "Client certificate (PEM); it includes the key unless --prometheus-key is given.",
        metavar="FILE",
    )
    prometheus_key: str | None = _option(
        None, "Private key of the client certificate (PEM).", metavar="FILE"
    )
    prometheus_insecure: bool = _option(False, "Do not verify the server's certificate.")

    def __post_init__(self) -> None:
        check(self)
        if self.prometheus_key and not self.prometheus_cert:
            raise ConfigError(
                "--prometheus-key needs --prometheus-cert, the certificate it belongs to"
            )
        tenant = self.prometheus_tenant or "tenant"
        if not (tenant.isascii() and tenant.isprintable() and tenant == tenant.strip()):
            raise ConfigError("--prometheus-tenant must be printable ASCII, as in an HTTP header")
        if self.prometheus_user and (self.prometheus_token or self.prometheus_token_file):
            raise ConfigError("give a user or a token for Prometheus, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederConfig:
    """The options of ``qcfeed feeder`` beside those of a service. Times are in seconds."""

    to: str = _option(
        "nats://127.0.0.1:4222",
        "NATS servers to publish quotes on: nats://HOST:PORT,HOST2:PORT, or tls://.",
        metavar="URL",
    )
    share: str = _option(
        "1/1",
        "Share of the symbols, for example 2/4: the second of four. Each share has one owner.",
    )
    lease: float = _option(
        5.0,
        "Seconds after which another feeder takes over from an owner that has failed; applies when the"
        " bucket of the leases is created.",
        least=0.5,
        most=300,
    )
    lease_replicas: int = _option(
        1,
        "Copies of that bucket in the NATS cluster: 3 outlasts the loss of one of three servers.",
        least=1,
        most=5,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsConfig:
    """How to connect to NATS, for ``feeder`` and ``serve --upstream nats://...``."""

    nats_user: str | None = _option(None, "User name for NATS.")
    nats_password: str | None = _option(None, "Password for NATS.", secret=True)
    nats_password_file: str | None = _option(
        None, "File that contains the password for NATS.", metavar="FILE"
    )
    nats_token: str | None = _option(None, "Token for NATS.", secret=True)
    nats_token_file: str | None = _option(
        None, "File that contains the token for NATS.", metavar="FILE"
    )
    nats_creds: str | None = _option(
        None,
        "Credentials file for NATS: a JWT and its NKey (`nsc generate creds`).",
        metavar="FILE",
    )
    nats_nkey: str | None = _option(
        None, "File that contains an NKey seed for NATS.", metavar="FILE"
    )
    nats_ca: str | None = _option(
        None, "CA certificates (PEM) to verify the NATS servers' certificates with.", metavar="FILE"
    )
    nats_cert: str | None = _option(
        None,
        "Client certificate (PEM) for NATS; it includes the key unless --nats-key is given.",
        metavar="FILE",
    )
    nats_key: str | None = _option(
        None, "Private key of the client certificate for NATS (PEM).", metavar="FILE"
    )

    nats_operators: str = _option(
        "read",
        "What `qcfeed --cluster` may do with this instance over NATS: nothing, read (status, feeds,"
        " subscribers, tasks, orphans) or act (also reap and cancel). Give act only if the NATS server"
        " lets nobody but operators publish on qc.ops.",
        choices=("nothing", "read", "act"),
    )

    def __post_init__(self) -> None:
        check(self)
        ways = {
            "a user": self.nats_user,
            "a token": self.nats_token or self.nats_token_file,
            "--nats-creds": self.nats_creds,
            "--nats-nkey": self.nats_nkey,
        }
        given = [way for way, value in ways.items() if value]
        if len(given) > 1:
            raise ConfigError(f"give one way to log in to NATS, not {' and '.join(given)}")
        if self.nats_key and not self.nats_cert:
            raise ConfigError("--nats-key needs --nats-cert, the certificate it belongs to")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Whom ``qcfeed --cluster`` asks. It logs in to NATS as NatsConfig says."""

    cluster_servers: str | None = _option(
        None,
        "NATS servers of the cluster that `qcfeed --cluster` asks, for example nats://HOST:4222. Default:"
        " the instances on this machine.",
        metavar="URL",
    )


def options(group: type[DataclassInstance] = Config) -> list[Option]:
    """The options of ``group``, one of GROUPS, in the order of declaration."""
    return options_of(group)


def all_options() -> list[Option]:
    """The options of every group."""
    return [option for group in GROUPS for option in options(group)]


GROUPS: tuple[type[DataclassInstance], ...] = (
    Config,
    PrometheusConfig,
    FeederConfig,
    NatsConfig,
    ClusterConfig,
)
"""The option groups, which share one configuration file and one environment."""
