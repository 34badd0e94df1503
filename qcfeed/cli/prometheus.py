"""Which Prometheus a command asks: its flags, and what else says so."""

from __future__ import annotations

from typing import Any

import typer

from qcfeed import config
from qcfeed.cli.context import options
from qcfeed.cli.flags import given
from qcfeed.config import Loaded, PrometheusConfig
from qcfeed.options import Option

FLAG = "--prometheus"
"""The origin of a Prometheus that was asked for, and no other."""


def declared() -> list[Option]:
    """The options, for ``flags.with_flags``."""
    return config.options(PrometheusConfig)


def chosen(ctx: typer.Context, flags: dict[str, Any]) -> Loaded[PrometheusConfig]:
    """The flag's Prometheus, else that of ``--context``, else as config.py finds it.

    Credentials go to the Prometheus that they were named with: those of a file or the environment
    are not sent to a context's, nor a context's to the flag's. Raises ConfigError, and what
    ``Options.found`` does.
    """
    before, by_flag = options(ctx).found(), given(flags)
    context = before.chosen
    if context is None or context.prometheus is None or "prometheus" in by_flag:
        return config.load_group(PrometheusConfig, by_flag, file=before.config)
    named = {**context.options(), **by_flag}
    origins = {
        each.name: each.flag
        if each.name in by_flag
        else f"--context {context.name}"
        if each.name in named
        else config.DEFAULT
        for each in declared()
    }
    return Loaded(PrometheusConfig(**named), origins)
