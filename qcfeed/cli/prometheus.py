"""Which Prometheus a command queries, from its flags, the context, the environment and the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import typer

from qcfeed import config
from qcfeed.cli import flags
from qcfeed.cli.context import options
from qcfeed.cli.flags import given
from qcfeed.cli.target import PROGRAM
from qcfeed.config import PrometheusConfig, loading
from qcfeed.config.loading import Loaded
from qcfeed.config.option import Option
from qcfeed.errors import UsageError

FLAG = "--prometheus"
"""The origin of a Prometheus given as a flag, which has no fallback."""


TOPIC = "prometheus"
"""What `qcfeed explain` and the manual call the options: documented once, not with every command."""


def declared() -> list[Option]:
    """The options, the URL first."""
    return config.options(PrometheusConfig)


def with_flags(function: Callable[..., None]) -> Callable[..., None]:
    """``flags.with_flags`` for these options. Help shows the first, and where the others are."""
    url, *others = declared()
    more = f"{url.help} `{PROGRAM} explain {TOPIC}` has the options for access to it."
    return flags.with_flags(function, [replace(url, help=more), *others], hidden=others)


def not_with_file() -> UsageError:
    """The error for --prometheus beside --from."""
    return UsageError(
        f"--from reads a file, and {FLAG} names a server: give only one",
        hint=f"omit {FLAG}: a bundle has what Prometheus said when it was written",
    )


def refuse_with_file(given_flags: dict[str, Any]) -> None:
    """Raise UsageError if a Prometheus was given as a flag although a file is read."""
    if "prometheus" in given(given_flags):
        raise not_with_file()


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
