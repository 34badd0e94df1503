"""Which Prometheus a command queries, from its flags, the context, the environment and the file."""

from __future__ import annotations

from typing import Any

import typer

from qcfeed import config
from qcfeed.cli.context import options
from qcfeed.cli.flags import given
from qcfeed.config import PrometheusConfig, loading
from qcfeed.config.loading import Loaded
from qcfeed.config.option import Option

FLAG = "--prometheus"
"""The origin of a Prometheus given as a flag, which has no fallback."""


def declared() -> list[Option]:
    """The options, for ``flags.with_flags``."""
    return config.options(PrometheusConfig)


def resolve(ctx: typer.Context, flags: dict[str, Any]) -> Loaded[PrometheusConfig]:
    """The Prometheus of the flag, else of ``--context``, else of the environment or the file.

    Credentials are sent only to the Prometheus they were declared with: those of the file or the
    environment never go to a context's, nor a context's to the flag's. Raises ConfigError, and what
    ``Options.resolved`` raises.
    """
    resolved, by_flag = options(ctx).resolved(), given(flags)
    context = resolved.context_settings
    if context is None or context.prometheus is None or "prometheus" in by_flag:
        return loading.load_group(PrometheusConfig, by_flag, file=resolved.config)
    settings = {**context.options(), **by_flag}
    origins = {
        each.name: each.flag
        if each.name in by_flag
        else f"--context {context.name}"
        if each.name in settings
        else loading.DEFAULT
        for each in declared()
    }
    return Loaded(PrometheusConfig(**settings), origins)
