"""The checks of a service's options that concern several options, or the text of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcfeed.access import browser_origin, trusted_proxies
from qcfeed.access.client_address import is_local
from qcfeed.errors import ConfigError
from qcfeed.formats import clipped
from qcfeed.model import market_hours

if TYPE_CHECKING:
    from qcfeed.config.service import Config


def check_together(config: Config) -> None:
    """Raise ConfigError if options contradict each other, or a text is not what its option takes."""
    _check_tls(config)
    _check_market_hours(config)
    _check_staleness(config)
    _check_tokens(config)
    _check_proxies(config)
    _check_origins(config)
    _check_page(config)


def _check_tls(config: Config) -> None:
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigError(
            "--tls-cert and --tls-key belong together, and only one of them is given",
            hint="give the files of both, certificate and private key, in PEM",
        )
    if config.tls_client_ca is not None and config.tls_cert is None:
        raise ConfigError("--tls-client-ca needs --tls-cert and --tls-key")


def _check_market_hours(config: Config) -> None:
    try:
        market_hours.parse(config.market_hours)
    except ValueError as error:
        raise ConfigError(
            f"--market-hours is {config.market_hours!r}: {error}",
            hint="write it like 'Mon-Fri 09:30-16:00 America/New_York', in quotes",
        ) from error


def _check_staleness(config: Config) -> None:
    if not 0 < config.stale_after <= config.very_stale_after <= config.dead_after:
        raise ConfigError(
            "staleness bands are out of order:"
            f" stale {config.stale_after:g} s, very stale {config.very_stale_after:g} s,"
            f" dead {config.dead_after:g} s",
            hint="give --stale-after <= --very-stale-after <= --dead-after, all above 0",
        )


def _check_tokens(config: Config) -> None:
    if config.jwt_key and config.jwt_jwks:
        raise ConfigError("--jwt-key and --jwt-jwks each name a key", hint="give only one of them")
    if (config.jwt_audience or config.jwt_issuer) and not (config.jwt_key or config.jwt_jwks):
        raise ConfigError(
            "--jwt-audience and --jwt-issuer need a key to verify tokens with",
            hint="give --jwt-key FILE or --jwt-jwks FILE|URL",
        )


def _check_proxies(config: Config) -> None:
    try:
        networks = trusted_proxies.parse_networks(config.trusted_proxy)
    except ValueError as error:
        raise ConfigError(
            f"--trusted-proxy: {error}", hint="for example --trusted-proxy 10.0.0.0/8,::1"
        ) from error
    if config.proxy_protocol and not networks:
        raise ConfigError(
            "--proxy-protocol needs --trusted-proxy: only its networks may send that header",
            hint="for a proxy on this machine: --trusted-proxy 127.0.0.1",
        )


def _check_origins(config: Config) -> None:
    for origin in browser_origin.parse_list(config.allow_origin):
        if origin not in (browser_origin.ANY, "null") and not browser_origin.is_origin(origin):
            raise ConfigError(
                f"--allow-origin: {clipped(repr(origin))} is not an origin",
                hint="write it as a browser does: https://desk.example.com",
            )


def _check_page(config: Config) -> None:
    if not config.page:
        if config.page_token_file:
            raise ConfigError(
                "--page-token-file is for the status page, and --page is not given",
                hint="give --page",
            )
        return
    if (config.workers or config.reuse_port) and not config.admin_listen:
        raise ConfigError(
            "--page needs --admin-listen here: at a shared port, any process answers",
            hint="for example --admin-listen 127.0.0.1:9006",
        )
    host = config.admin_listen.rpartition(":")[0] if config.admin_listen else config.host
    if config.page_token_file or is_local(host.strip("[]")):
        return
    raise ConfigError(
        f"--page on {host} needs --page-token-file: other machines reach it",
        hint="`openssl rand -hex 32 > page.token`, `chmod 600 page.token`, --page-token-file page.token;"
        " or --admin-listen 127.0.0.1:9006",
    )
