"""Access to Prometheus: its address, credentials and certificates. Secrets are never shown."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import requests
import urllib3
from requests.utils import get_environ_proxies

from qcfeed import files
from qcfeed.config import PrometheusConfig
from qcfeed.config.credentials import read_secret
from qcfeed.errors import ConfigError, PrometheusError

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Limit of one answer's size; no query of qcfeed needs as much."""
_CHUNK = 65_536


class PrometheusSession(requests.Session):
    """A session that ignores ~/.netrc, reads at most MAX_ANSWER_BYTES, and inspects every answer.

    ``inspect`` gets the response and its body, and returns the body to use.
    """

    inspect: Callable[[requests.Response, bytes], bytes]

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = super().send(request, **{**kwargs, "stream": True})
        # requests calls this again after a redirect, and then the last response has already been read.
        if response.is_redirect or isinstance(response.raw, io.BytesIO):
            return response
        body = bytearray()
        for chunk in response.raw.stream(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                response.close()
                raise PrometheusError(
                    f"Prometheus answers with over {MAX_ANSWER_BYTES} bytes",
                    hint="a shorter --since asks for less",
                )
        response.raw = io.BytesIO(self.inspect(response, bytes(body)))
        return response


CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Variables that name the certificates to trust, in this order; requests knows the first two."""


def session(config: PrometheusConfig, url: str) -> PrometheusSession:
    """A session with its certificates and proxies. Raises ConfigError if a file cannot be read."""
    made = PrometheusSession()
    made.hooks["response"].append(_drop_redirect_body)
    # Otherwise ~/.netrc would replace the given credentials. This also ignores the environment's proxies,
    # which therefore are set here.
    made.trust_env = False
    made.proxies.update(get_environ_proxies(url))
    made.verify = _trusted(config)
    if config.prometheus_cert:
        made.cert = str(_existing(config.prometheus_cert, "--prometheus-cert"))
        if config.prometheus_key:
            key = _existing(config.prometheus_key, "--prometheus-key")
            made.cert = (made.cert, str(key))
    if config.prometheus_insecure:
        made.verify = False
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return made


def _trusted(config: PrometheusConfig) -> str | bool:
    """The certificates to trust: those of the option, of a variable, or else those of requests itself."""
    if config.prometheus_ca:
        return str(_existing(config.prometheus_ca, "--prometheus-ca"))
    for variable in CA_VARIABLES:
        if named := os.environ.get(variable):
            return str(_existing(named, f"${variable}"))
    return True


def _drop_redirect_body(response: requests.Response, **_: Any) -> None:
    """Do not read the body of a redirect: requests would read it, whatever its size."""
    if response.is_redirect:
        response.raw.close()
        response.raw = io.BytesIO()


# ---------------------------------------------------------------- the configuration


def split_url(
    given: str | None,
) -> tuple[str, tuple[bytes, bytes] | None, list[tuple[str, str]]]:
    """The URL as it can be shown; its user and password; and the parameters of its query.

    The parameters are sent with every request. Raises ConfigError if it is no HTTP address.
    """
    hint = "give --prometheus http://HOST:9090, or set QCFEED_PROMETHEUS"
    if not given:
        raise ConfigError("no Prometheus server was given", hint=hint)
    try:
        parts = urlsplit(given)
        named = parts.hostname and parts.port != 0 and not parts.fragment
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        named = None
    if not named or parts.scheme not in ("http", "https"):
        raise ConfigError("--prometheus must be an http:// or https:// address", hint=hint)
    userinfo, _, host = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    return url, (unquote(user).encode(), unquote(password).encode()) if userinfo else None, query


def headers(config: PrometheusConfig) -> dict[str, str]:
    """The headers of every request: the bearer token, and the tenant. Raises ConfigError."""
    tenant = config.prometheus_tenant
    return {**(bearer(config) or {}), **({"X-Scope-OrgID": tenant} if tenant else {})}


def bearer(config: PrometheusConfig) -> dict[str, str] | None:
    """The Authorization header with the bearer token; empty without one. Raises ConfigError."""
    token = _secret(
        config.prometheus_token, config.prometheus_token_file, "--prometheus-token-file"
    )
    return {"Authorization": f"Bearer {token}"} if token else None


def basic(config: PrometheusConfig) -> tuple[bytes, bytes] | None:
    """User and password. As bytes, because requests encodes strings as Latin-1. Raises ConfigError."""
    if not config.prometheus_user:
        return None
    password = _secret(
        config.prometheus_password, config.prometheus_password_file, "--prometheus-password-file"
    )
    return config.prometheus_user.encode(), (password or "").encode()


def credentials_hint(config: PrometheusConfig, userinfo: object) -> tuple[str, str]:
    """Which credentials were refused, and a hint, for error messages."""
    if token := config.prometheus_token_file or config.prometheus_token:
        source = token if config.prometheus_token_file else "the environment or the file"
        return "the token", f"is the token from {source} the right one, and still valid?"
    if config.prometheus_user:
        source = config.prometheus_password_file or "the configuration"
        return f"user {config.prometheus_user}", f"is the password from {source} the right one?"
    if userinfo:
        return "the user in the URL", "are the user and password in the URL right?"
    return "a request without credentials", (
        "give --prometheus-user and --prometheus-password-file, or --prometheus-token-file;"
        " a context has keys of these names: `qcfeed config init -`"
    )


def _secret(value: str | None, file: str | None, flag: str) -> str | None:
    return value if value or not file else read_secret(file, flag)


def _existing(file: str, flag: str) -> Path:
    try:
        path = files.expand(file)
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{flag}: cannot read {file}: {error.strerror}") from error
    return path


def reason(error: BaseException) -> str:
    """The innermost cause that has a message, for example ``Connection refused``."""
    message, each = str(error), error.__cause__ or error.__context__
    if isinstance(error, OSError) and error.strerror:
        message = error.strerror
    while each is not None:
        if isinstance(each, OSError) and each.strerror:
            message = each.strerror
        each = each.__cause__ or each.__context__
    return message
