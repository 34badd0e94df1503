"""The configuration file: one to begin with, and what is wrong with one."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from qcfeed import config, contexts, options
from qcfeed.cli.ui.formats import plural
from qcfeed.errors import QcfeedError

WIDTH = 100

_HEAD = """\
# Configuration of qcfeed, in TOML. Every option is here with its default, commented out.
# A variable of the environment wins over this file, a flag over both: `qcfeed config show --origin`.
"""

_CONTEXTS = """
# Services elsewhere, for `qcfeed --context prod status`. One of socket, url and instance says where.

#[contexts.prod]
#url = "http://127.0.0.1:18007"           # ssh -L 18007:127.0.0.1:8007 prod
#token_file = "~/.config/qcfeed/prod.token"
#prometheus = "https://prometheus.prod:9090"
#prometheus_token_file = "~/.config/qcfeed/prod.prometheus"   # or prometheus_token_variable = "PROM_TOKEN"
"""


def written() -> str:
    """A file with every declared option, commented out."""
    return _HEAD + "".join(map(_entry, config.all_options())) + _CONTEXTS


def _entry(option: options.Option) -> str:
    lines = textwrap.wrap(option.help, WIDTH, initial_indent="# ", subsequent_indent="# ")
    flag = "no flag" if option.secret else option.flag
    spelled = f"# {flag}, ${option.variable}"
    if option.default is None:
        return "\n".join(["", *lines, f"{spelled}; not set by default", f'#{option.name} = ""', ""])
    value = toml(option.default)
    return "\n".join(["", *lines, spelled, f"#{option.name} = {value}", ""])


def toml(value: Any) -> str:
    """A scalar as TOML spells it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def faults(file: Path | None) -> list[QcfeedError]:
    """Everything that is wrong with the configuration, in the order in which it is read."""
    found: list[QcfeedError] = []
    try:
        loaded = config.load({}, file=file)
        config.load_group(config.PrometheusConfig, {}, file=file)
    except QcfeedError as error:
        found.append(error)
    else:
        found += _unusable(loaded.config)
    try:
        config.load_group(config.PrometheusConfig, {}, file=file)
    except QcfeedError as error:
        if str(error) not in map(str, found):
            found.append(error)
    try:
        found += [fault for each in contexts.read(file=file).values() for fault in _closed(each)]
    except QcfeedError as error:
        if str(error) not in map(str, found):  # a file that cannot be read is so for both
            found.append(error)
    return found


def _closed(context: contexts.Context) -> list[QcfeedError]:
    """Secrets of a context that its Prometheus would be asked without."""
    try:
        config.PrometheusConfig(**context.options())
        for key in ("prometheus_token_file", "prometheus_password_file"):
            if file := context.settings.get(key):
                options.read_secret(file, f"[contexts.{context.name}] {key}")
    except QcfeedError as error:
        return [error]
    return []


def _unusable(loaded: config.Config) -> list[QcfeedError]:
    """Values that are spelled as they should be, and yet mean nothing."""
    from qcfeed.upstreams import url

    try:
        url.connect(loaded.upstream)
    except QcfeedError as error:
        return [error]
    return []


def exposed(file: Path | None) -> Path | None:
    """The file, if it holds a secret and is open to other users."""
    read = config.read_file(file)
    if read is None or not read[0].stat().st_mode & 0o077:
        return None
    secret = {each.name for each in config.all_options() if each.secret}
    return read[0] if secret & read[1].keys() else None


def verdict(file: Path | None) -> str:
    """What a configuration without faults says, on one line."""
    origins = [
        origin
        for group in config.GROUPS
        for origin in config.load_group(group, {}, file=file).origins.values()
    ]
    read = config.read_file(file)
    where = f"{read[0]} is right" if read else f"there is no file {config.file_in_use(file)}"
    changed = sum(origin != config.DEFAULT for origin in origins)
    named = plural(len(contexts.read(file=file)), "context")
    return f"{where}: {plural(changed, 'option')} set, {named}"
