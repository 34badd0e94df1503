"""The configuration file: a template with every option, and the errors in an existing file."""

from __future__ import annotations

import textwrap
from pathlib import Path

from qcfeed import config
from qcfeed.cli.ui.formats import plural
from qcfeed.config import contexts, loading
from qcfeed.config.credentials import read_secret
from qcfeed.config.option import Option, toml
from qcfeed.errors import QcfeedError

WIDTH = 100

_HEAD = """\
# Configuration of qcfeed, in TOML. Every option is listed with its default, commented out.
# Environment variables override this file, flags override both: `qcfeed config show --origin`.
"""

_CONTEXTS = """
# Remote services, for example `qcfeed --context prod status`. Set one of socket, url and instance.

#[contexts.prod]
#url = "http://127.0.0.1:18007"           # ssh -L 18007:127.0.0.1:8007 prod
#token_file = "~/.config/qcfeed/prod.token"
#prometheus = "https://prometheus.prod:9090"
#prometheus_token_file = "~/.config/qcfeed/prod.prometheus"   # or prometheus_token_variable = "PROM_TOKEN"
"""


def template() -> str:
    """A configuration file with every declared option, commented out."""
    return _HEAD + "".join(map(_entry, config.all_options())) + _CONTEXTS


def _entry(option: Option) -> str:
    lines = textwrap.wrap(option.help, WIDTH, initial_indent="# ", subsequent_indent="# ")
    flag = "no flag" if option.secret else option.flag
    names = f"# {flag}, ${option.variable}"
    if option.default is None:
        return "\n".join(["", *lines, f"{names}; not set by default", f'#{option.name} = ""', ""])
    value = toml(option.default)
    return "\n".join(["", *lines, names, f"#{option.name} = {value}", ""])


def errors(file: Path | None) -> list[QcfeedError]:
    """All errors in the configuration, in the order in which it is read."""
    found: list[QcfeedError] = []
    for group in config.GROUPS:
        found += loading.faults(group, file=file)
    if not found:
        found += _upstream_errors(loading.load({}, file=file).config)
    known, in_contexts = contexts.read_all(file=file)
    found += [*in_contexts, *(error for each in known for error in _context_errors(each))]
    found += _current_errors(file)
    return list({str(error): error for error in found}.values())  # each group reports a bad key


def _current_errors(file: Path | None) -> list[QcfeedError]:
    """What is wrong with the current context: it must exist."""
    try:
        if (name := contexts.current(file=file)) is not None:
            contexts.find(name, file=file)
    except QcfeedError as error:
        return [error]
    return []


def _context_errors(context: contexts.Context) -> list[QcfeedError]:
    """What is wrong with a context's settings for Prometheus: unset variables, unreadable secrets."""
    try:
        config.PrometheusConfig(**context.options())
        for key in ("prometheus_token_file", "prometheus_password_file"):
            if file := context.settings.get(key):
                read_secret(file, f"[contexts.{context.name}] {key}")
    except QcfeedError as error:
        return [error]
    return []


def _upstream_errors(loaded: config.Config) -> list[QcfeedError]:
    """What is wrong with the upstream's URL, which loading the configuration does not parse."""
    from qcfeed.upstreams import registry

    try:
        registry.connect(loaded.upstream)
    except QcfeedError as error:
        return [error]
    return []


def exposed(file: Path | None) -> Path | None:
    """The path of the file if it contains a secret and other users can access it, else None."""
    read = loading.read_file(file)
    if read is None or not read[0].stat().st_mode & 0o077:
        return None
    secret = {each.name for each in config.all_options() if each.secret}
    return read[0] if secret & read[1].keys() else None


def summary(file: Path | None) -> str:
    """A valid configuration on one line: the file, how many options are set, how many contexts."""
    origins = [
        origin
        for group in config.GROUPS
        for origin in loading.load_group(group, {}, file=file).origins.values()
    ]
    read = loading.read_file(file)
    state = f"{read[0]} is valid" if read else f"{loading.file_in_use(file)} does not exist"
    changed = sum(origin != loading.DEFAULT for origin in origins)
    known = plural(len(contexts.read(file=file)), "context")
    return f"{state}: {plural(changed, 'option')} set, {known}"
