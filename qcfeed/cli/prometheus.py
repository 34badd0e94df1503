"""Which Prometheus a command asks: its flags, and what else says so."""

from __future__ import annotations

import dataclasses
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

    Raises ConfigError, and what ``Options.found`` does.
    """
    before = options(ctx).found()
    loaded = config.load_group(PrometheusConfig, given(flags), file=before.config)
    if before.prometheus is None or loaded.origins["prometheus"] == FLAG:
        return loaded
    named = dataclasses.replace(loaded.config, prometheus=before.prometheus)
    origin = f"--context {before.context}"
    return Loaded(named, {**loaded.origins, "prometheus": origin})
