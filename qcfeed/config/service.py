"""The options of the service: name, type, default and help, each declared once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from qcfeed.access.client_limits import UNLIMITED, ClientLimits
from qcfeed.config.option import check, declare
from qcfeed.config.service_checks import check_together
from qcfeed.model import market_hours as market
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.numbers import MAX_PORT

SPARE_FILES = 200
"""File descriptors to allow for beside connections: control plane, monitor, modules, logs."""

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
    return declare(
        None,
        f"Maximum {what} of one client (an address or an API key); 0 for no limit."
        f" Default: {remote:g}, and no limit for clients on loopback.",
        least=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The options of a service. Times are in seconds."""

    host: str = declare("127.0.0.1", "Address to accept WebSocket connections on.")
    port: int = declare(
        8006, "Port for WebSocket connections; 0 picks a free one.", least=0, most=MAX_PORT
    )
    reuse_port: bool = declare(
        False,
        "Share the port with other instances started with this option (SO_REUSEPORT): the kernel"
        " spreads connections over them.",
    )
    workers: int = declare(
        0,
        "Start this many processes behind the port, and one that feeds them: for machines with many"
        " cores. Limits apply to each process; --admin-listen names the first one's port, the others have"
        " those after it. 0: serve in this process.",
        least=0,
        most=256,
    )
    worker_timeout: float = declare(
        30.0,
        "Seconds after which one of --workers that does not answer, or whose event loop does not run, is"
        " killed and started again; 0: it is only named.",
        least=0,
    )
    admin_listen: str | None = declare(
        None, "HOST:PORT to serve /livez, /readyz and /metrics on, instead of the WebSocket port."
    )
    allow_origin: str = declare(
        "",
        "Origins of web pages that may connect, separated by commas, for example"
        " https://desk.example.com; * allows all. Pages of this service's own address always may.",
    )
    allow_host: str = declare(
        "",
        "Host names under which the service answers, separated by commas; * allows all. Default: all,"
        " but on a loopback address only localhost and loopback addresses.",
    )
    trusted_proxy: str = declare(
        "",
        "Networks of the proxies in front of the service, separated by commas, for example 10.0.0.0/8:"
        " X-Forwarded-For, Forwarded and the PROXY protocol are believed from them alone.",
        metavar="CIDR",
    )
    proxy_protocol: bool = declare(
        False, "Require a PROXY protocol header (version 1 or 2) on every connection for quotes."
    )
    tls_cert: str | None = declare(
        None,
        "Serve the WebSocket port with TLS: file with the certificate and its chain (PEM). Files are"
        " loaded again when they change, and on SIGHUP.",
        metavar="FILE",
    )
    tls_key: str | None = declare(
        None, "File with the private key of --tls-cert (PEM).", metavar="FILE"
    )
    tls_client_ca: str | None = declare(
        None,
        "Require client certificates that are signed by a CA in this file (PEM).",
        metavar="FILE",
    )
    instance: str | None = declare(
        None,
        "Name of this instance. Default: the port; with --reuse-port, the first free of PORT-1,"
        " PORT-2, ...",
    )
    upstream: str = declare(
        "sim:",
        "Source of quotes: sim:, replay:FILE, coinbase:, coinbase+ws://HOST:PORT/, feeders behind"
        " nats://HOST:PORT,HOST2:PORT, or the scheme of an installed package.",
    )

    linger: float = declare(
        5.0, "Seconds to keep a feed open after its last subscriber has left.", least=0
    )
    stale_after: float = declare(
        15.0, "Seconds without a quote after which a symbol is stale.", least=0
    )
    very_stale_after: float = declare(
        300.0, "Seconds without a quote after which a symbol is very stale.", least=0
    )
    dead_after: float = declare(
        1200.0, "Seconds without a quote after which a symbol is dead.", least=0
    )

    market_hours: str = declare(
        market.ALWAYS,
        "When quotes are expected, for the staleness alerts: 'always', or for example"
        " 'Mon-Fri 09:30-16:00 America/New_York except 2026-11-26,2026-12-25'.",
    )

    max_connections: int = declare(
        10_000, "Maximum number of open connections; more are refused.", least=1
    )
    max_symbols: int = declare(1_000, "Maximum number of symbols per connection.", least=1)
    subscribe_rate: float = declare(
        2_000.0,
        "Maximum new subscriptions per second, over all connections; more are refused.",
        least=0,
    )
    request_rate: float = declare(
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
    max_message_size: int = declare(
        65_536, "Maximum size of a message from a client, in bytes.", least=125
    )
    ping_interval: float = declare(
        20.0, "Seconds between pings on each connection; 0 sends none.", least=0
    )
    stall_timeout: float = declare(
        20.0,
        "Seconds to wait for a pong, or for the peer to read data, before dropping the connection.",
        least=0.1,
    )
    send_buffer: int = declare(
        131_072,
        "Size of each connection's kernel send buffer (SO_SNDBUF) and of a single write, in bytes;"
        " Linux doubles the buffer.",
        least=4_608,
    )
    max_lag: int = declare(
        1_024,
        "Unread quotes per connection, over all its symbols, at which --slow applies.",
        least=2,
        most=65_536,
    )
    slow: str = declare(
        SlowConsumerPolicy.CONFLATE.value,
        "Policy for connections that read too slowly: conflate (send only the newest quote per"
        " symbol), drop-oldest or disconnect. A client may choose its own with ?slow=.",
        choices=tuple(SlowConsumerPolicy),
    )

    keys: str | None = declare(
        None,
        "File of API keys, which `qcfeed keys` manages: subscribers must present one.",
        metavar="FILE",
    )
    jwt_key: str | None = declare(
        None,
        "File with the key that verifies JSON Web Tokens, which subscribers must then present: a public"
        " key in PEM (RS256, EdDSA) or a secret (HS256).",
        metavar="FILE",
    )
    jwt_jwks: str | None = declare(
        None,
        "JSON Web Key Set that verifies JSON Web Tokens: a file, or an https URL.",
        metavar="FILE|URL",
    )
    jwt_audience: str | None = declare(None, "Audience (aud) that JSON Web Tokens must name.")
    jwt_issuer: str | None = declare(None, "Issuer (iss) that JSON Web Tokens must name.")
    jwt_leeway: float = declare(
        10.0,
        "Seconds by which the clocks of the issuer and of this machine may differ.",
        least=0,
        most=300,
    )
    jwt_symbols_claim: str = declare(
        "symbols",
        "Claim that lists the symbols that a JSON Web Token allows, such as ['AAPL', 'BTC-*'];"
        " empty: all.",
    )
    metrics_token_file: str | None = declare(
        None, "File with a bearer token that /metrics demands.", metavar="FILE"
    )
    page: bool = declare(
        False,
        "Serve a status page for browsers at / beside /metrics: what is wrong, the time left, tasks, feeds,"
        " subscribers. Read-only, and without --page-token-file for this machine only.",
    )
    page_token_file: str | None = declare(
        None,
        "File with a token that the status page demands, on loopback too.",
        metavar="FILE",
    )

    monitor: bool = declare(
        True, "Attach aiomonitor (telnet and web views of tasks, loopback only)."
    )
    monitor_port: int = declare(
        0, "Port of aiomonitor's telnet view; 0 picks a free one.", least=0, most=MAX_PORT
    )
    monitor_web_port: int = declare(
        0, "Port of aiomonitor's web view; 0 picks a free one.", least=0, most=MAX_PORT
    )
    monitor_console: bool = declare(
        False, "Allow aiomonitor's Python console, which can run any code."
    )

    control_listen: str | None = declare(
        None, "HOST:PORT (loopback) to serve the control plane on as well, with a bearer token."
    )
    audit_log: str | None = declare(
        None, "File for the log of actions (JSON lines). Default: a file in the state directory."
    )
    evidence_at: float = declare(
        0.9,
        "Share of the memory limit at which the service saves a bundle of evidence by itself; also if"
        " memory would reach the limit within ten minutes. 0: never.",
        least=0,
        most=1,
    )
    evidence_dir: str | None = declare(
        None,
        "Directory for these bundles. Default: evidence in the state directory.",
        metavar="DIR",
    )
    evidence_keep: int = declare(
        5, "Bundles of this instance to keep there, the newest.", least=1, most=1_000
    )
    spawn_stacks: int = declare(
        0,
        "Number of calls to record of each task's spawn stack, for `tasks show`; with 8, spawning a"
        " task costs 1.4 times as much.",
        least=0,
        most=32,
    )
    spawn_through: str = declare(
        "",
        "Functions, classes or modules that create tasks for their callers, separated by commas, for"
        " example qcfeed.server.feed.UpstreamTask: the line that calls them is the spawn location.",
    )
    drain_timeout: float = declare(10.0, "Graceful shutdown timeout, in seconds.", least=0)
    drill: str | None = declare(
        None,
        "Start with this drill active: NAME or NAME=N, for example zombie-feeds=47829."
        " `qcfeed drill list` lists them.",
    )
    drill_for: float | None = declare(
        None,
        "Duration of that drill, in seconds. Default: the drill's own.",
        least=0.1,
        most=86_400,
    )
    log_format: str = declare(
        "text",
        "Form of the log on stderr: text, or json (one object per line).",
        choices=("text", "json"),
    )
    allow_drills: bool = declare(
        False, "Allow `qcfeed drill start` to inject faults here; not for production."
    )

    def __post_init__(self) -> None:
        check(self)
        check_together(self)

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
