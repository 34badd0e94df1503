"""The options for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.config.option import check, declare
from qcfeed.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusConfig:
    """How to connect to Prometheus, for ``growth``, ``alerts``, ``diagnose``, ``report`` and ``doctor``."""

    prometheus: str | None = declare(
        None, "URL of the Prometheus server, for example http://HOST:9090.", metavar="URL"
    )
    prometheus_target: str | None = declare(
        None, "Scrape target of the service, if there are several: its instance, or job/instance."
    )
    prometheus_user: str | None = declare(None, "User name for basic authentication.")
    prometheus_password: str | None = declare(
        None, "Password for basic authentication.", secret=True
    )
    prometheus_password_file: str | None = declare(
        None, "File that contains the password.", metavar="FILE"
    )
    prometheus_token: str | None = declare(None, "Bearer token.", secret=True)
    prometheus_token_file: str | None = declare(
        None, "File that contains the bearer token.", metavar="FILE"
    )
    prometheus_tenant: str | None = declare(
        None, "Tenant of a shared server such as Mimir or Cortex, sent as X-Scope-OrgID."
    )
    prometheus_ca: str | None = declare(
        None, "CA certificates (PEM) to verify the server's certificate with.", metavar="FILE"
    )
    prometheus_cert: str | None = declare(
        None,
        "Client certificate (PEM); it includes the key unless --prometheus-key is given.",
        metavar="FILE",
    )
    prometheus_key: str | None = declare(
        None, "Private key of the client certificate (PEM).", metavar="FILE"
    )
    prometheus_insecure: bool = declare(False, "Do not verify the server's certificate.")

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
