"""The options for NATS: logging in, the feeder, and `qcfeed --cluster`."""

from __future__ import annotations

from dataclasses import dataclass

from qcfeed.config.option import check, declare
from qcfeed.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsConfig:
    """How to connect to NATS, for ``feeder`` and ``serve --upstream nats://...``."""

    nats_user: str | None = declare(None, "User name for NATS.")
    nats_password: str | None = declare(None, "Password for NATS.", secret=True)
    nats_password_file: str | None = declare(
        None, "File that contains the password for NATS.", metavar="FILE"
    )
    nats_token: str | None = declare(None, "Token for NATS.", secret=True)
    nats_token_file: str | None = declare(
        None, "File that contains the token for NATS.", metavar="FILE"
    )
    nats_creds: str | None = declare(
        None,
        "Credentials file for NATS: a JWT and its NKey (`nsc generate creds`).",
        metavar="FILE",
    )
    nats_nkey: str | None = declare(
        None, "File that contains an NKey seed for NATS.", metavar="FILE"
    )
    nats_ca: str | None = declare(
        None, "CA certificates (PEM) to verify the NATS servers' certificates with.", metavar="FILE"
    )
    nats_cert: str | None = declare(
        None,
        "Client certificate (PEM) for NATS; it includes the key unless --nats-key is given.",
        metavar="FILE",
    )
    nats_key: str | None = declare(
        None, "Private key of the client certificate for NATS (PEM).", metavar="FILE"
    )

    nats_operators: str = declare(
        "read",
        "What `qcfeed --cluster` may do with this instance over NATS: nothing, read (status, feeds,"
        " subscribers, tasks, orphans) or act (also reap and cancel). Give act only if the NATS server"
        " allows only operators to publish on qc.ops.",
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
class FeederConfig:
    """The options of ``qcfeed feeder`` beside those of a service. Times are in seconds."""

    to: str = declare(
        "nats://127.0.0.1:4222",
        "NATS servers to publish quotes on: nats://HOST:PORT,HOST2:PORT, or tls://.",
        metavar="URL",
    )
    share: str = declare(
        "1/1",
        "Share of the symbols, for example 2/4: the second of four. Each share has one owner.",
    )
    lease: float = declare(
        5.0,
        "Seconds after which another feeder takes over from an owner that has failed; applies when the"
        " bucket of the leases is created.",
        least=0.5,
        most=300,
    )
    lease_replicas: int = declare(
        1,
        "Copies of that bucket in the NATS cluster: 3 outlasts the loss of one of three servers.",
        least=1,
        most=5,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Whom ``qcfeed --cluster`` asks. It logs in to NATS as NatsConfig says."""

    cluster_servers: str | None = declare(
        None,
        "NATS servers of the cluster that `qcfeed --cluster` asks, for example nats://HOST:4222. Default:"
        " the instances on this machine.",
        metavar="URL",
    )
