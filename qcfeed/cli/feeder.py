"""``qcfeed feeder``: publishes an upstream's quotes on NATS, for `serve --upstream nats://...`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import typer

from qcfeed.cli.context import examples, new_app
from qcfeed.cli.flags import with_flags
from qcfeed.cli.serve import declared, service_settings
from qcfeed.config import Config, FeederConfig, NatsConfig
from qcfeed.config.loading import DEFAULT
from qcfeed.errors import ConfigError

_OF_SUBSCRIBERS = frozenset(
    {
        "max_connections",
        "max_symbols",
        "subscribe_rate",
        "max_message_size",
        "ping_interval",
        "stall_timeout",
        "send_buffer",
        "max_lag",
        "slow",
        "reuse_port",
    }
)
"""Options about subscribers, which a feeder does not have."""

app = new_app()


def feeder(ctx: typer.Context, **flags: Any) -> None:
    """Publish an upstream's quotes on NATS, for any number of services.

    Starts a symbol when a service with `--upstream nats://...` wants it, and stops it when none
    does. Of several feeders with the same --share, one owns the lease and publishes; another takes
    over when it fails. Needs a NATS server with JetStream, which keeps the leases.

    Serves /livez, /readyz and /metrics over HTTP, and a control plane for the other commands.

    Passwords and tokens for NATS come from files, or from $QCFEED_NATS_PASSWORD and
    $QCFEED_NATS_TOKEN, never from the command line.

    Exit status: as of `qcfeed serve`.
    """
    settings = service_settings(ctx, flags, "feeder")
    loaded = settings(Config)
    config = loaded.config
    if config.upstream.startswith(("nats:", "tls:")):
        raise ConfigError(
            f"--upstream {config.upstream} is where a feeder's quotes go to",
            hint="name where they come from, for example --upstream coinbase:",
        )
    # The default port belongs to the services beside it.
    if loaded.origins["port"] == DEFAULT:
        config = replace(config, port=0)
    from qcfeed.service.run import serve as run_service

    raise typer.Exit(
        run_service(config, settings(NatsConfig).config, settings(FeederConfig).config)
    )


app.command(
    epilog=examples(
        "qcfeed feeder --upstream coinbase: --to nats://127.0.0.1:4222",
        "qcfeed feeder --upstream sim: --to nats://a:4222,b:4222 --share 2/4",
    )
)(
    with_flags(
        feeder,
        [
            each
            for each in declared(FeederConfig, Config, NatsConfig)
            if each.name not in _OF_SUBSCRIBERS
        ],
    )
)
