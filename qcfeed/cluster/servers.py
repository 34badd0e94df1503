"""Parses the addresses of NATS servers, and turns the options into arguments of the NATS client."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

from qcfeed import files
from qcfeed.config import NatsConfig
from qcfeed.config.credentials import read_secret, unsecret
from qcfeed.errors import ConfigError

_PORT = 4222


def parse(text: str, source: str) -> list[str]:
    """The servers in ``text``, such as ``nats://host:4222,host2``. ``source``: the option's flag.

    Raises ConfigError, also for a user or password: any user of the machine can read a command line.
    """
    example = "for example: nats://127.0.0.1:4222, or tls://one:4222,two:4222"
    scheme, separator, rest = text.partition("://")
    if scheme not in ("nats", "tls") or not separator or not rest.strip("/"):
        raise ConfigError(f"{source} is {unsecret(text)[:80]!r}, not NATS servers", hint=example)
    if "@" in rest:
        raise ConfigError(
            f"{source} contains a user or password",
            hint="use --nats-user with --nats-password-file, --nats-token-file, --nats-creds or --nats-nkey",
        )
    return [_server(scheme, each.strip(), source, example) for each in rest.strip("/").split(",")]


def _server(scheme: str, place: str, source: str, example: str) -> str:
    try:
        parts = urlsplit(f"{scheme}://{place.removeprefix(f'{scheme}://')}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError as error:
        raise ConfigError(f"{source}: {place[:80]!r}: {error}", hint=example) from error
    if not host or parts.path or parts.query or parts.fragment:
        raise ConfigError(f"{source}: {place[:80]!r} is not HOST:PORT", hint=example)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def short_name(servers: list[str]) -> str:
    """``nats://host:4222,host2:4222``: the servers as one URL."""
    scheme = servers[0].partition("://")[0]
    return f"{scheme}://" + ",".join(each.partition("://")[2] for each in servers)


def login(config: NatsConfig) -> dict[str, Any]:
    """The client's arguments for logging in. Raises ConfigError if a file cannot be read."""
    chosen: dict[str, Any] = {}
    if config.nats_user is not None:
        chosen["user"] = config.nats_user
        chosen["password"] = _secret(
            config.nats_password, config.nats_password_file, "--nats-password-file"
        )
    if token := _secret(config.nats_token, config.nats_token_file, "--nats-token-file"):
        chosen["token"] = token
    if config.nats_creds is not None:
        chosen["user_credentials"] = _readable(config.nats_creds, "--nats-creds")
    if config.nats_nkey is not None:
        chosen["nkeys_seed_str"] = read_secret(config.nats_nkey, "--nats-nkey")
    return chosen


def tls(config: NatsConfig, servers: list[str]) -> ssl.SSLContext | None:
    """The TLS settings; None without TLS. Raises ConfigError for files that cannot be used."""
    if not servers[0].startswith("tls://") and not (config.nats_ca or config.nats_cert):
        return None
    try:
        context = ssl.create_default_context(cafile=config.nats_ca)
        if config.nats_cert:
            context.load_cert_chain(config.nats_cert, config.nats_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot use the certificates for NATS: {error}",
            hint="check the files of --nats-ca, --nats-cert and --nats-key",
        ) from error
    return context


def _secret(value: str | None, file: str | None, named_by: str) -> str | None:
    return read_secret(file, named_by) if file else value


def _readable(file: str, named_by: str) -> str:
    """The path of a credentials file, which nats-py reads at each connection."""
    try:
        path = files.expand(file)
        _, mode = files.read(path, 65_536)
    except OSError as error:
        raise ConfigError(f"{named_by}: cannot read {file}: {error.strerror}") from error
    if mode & 0o004:
        raise ConfigError(
            f"{named_by}: every user on this machine can read {file} (mode {mode:o})",
            hint=f"`chmod o-rwx {path}`",
        )
    return str(path)
