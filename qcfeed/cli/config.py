"""``qcfeed config``: shows the configuration and its origins, creates and checks the file, lists contexts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from qcfeed import config
from qcfeed.cli import config_edit, config_file, output_files, prometheus
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.flags import given, with_flags
from qcfeed.cli.ui.listing import listed
from qcfeed.cli.ui.render import emit
from qcfeed.cli.ui.render import show as show_table
from qcfeed.cli.ui.table import Column, Table
from qcfeed.config import contexts, loading
from qcfeed.config.contexts import Context
from qcfeed.config.credentials import unsecret
from qcfeed.config.option import Option, convert, toml
from qcfeed.doctor import exposure
from qcfeed.errors import NotFoundError, UsageError, not_found

app = new_app()


@app.callback(
    no_args_is_help=True,
    epilog=examples("qcfeed config show --origin", "qcfeed config init", "qcfeed config check"),
)
def group() -> None:
    """Show, create or check the configuration, or list contexts."""


class Value(NamedTuple):
    """One option, its value, and its origin: default, a file, $VARIABLE or --flag."""

    option: Option
    value: Any
    origin: str

    @property
    def shown(self) -> Any:
        if self.option.secret:
            return None if self.value is None else "***"
        return unsecret(self.value)


def _set_colour(value: Value) -> str | None:
    return None if value.origin == loading.DEFAULT else "cyan"


def _values(*, origin: bool) -> Table[Value]:
    return Table(
        (
            Column("option", value=lambda v: v.option.name),
            Column("value", "shown", show=toml, least=12, colour=_set_colour),
            Column("origin", least=16, wide=not origin),
            Column("help", value=lambda v: v.option.help, wide=True),
        ),
        identity=lambda v: str(v.option.name),
    )


def _contexts_table(current: str | None) -> Table[Context]:
    return Table(
        (
            Column("context", "name"),
            Column("service", least=20),
            Column("current", value=lambda c: "*" if c.name == current else ""),
            Column("prometheus", value=lambda c: unsecret(c.prometheus), least=20, rank=1),
            Column("token_file", least=20, rank=2),
        ),
        identity=lambda c: c.name,
    )


def show(
    ctx: typer.Context,
    origin: Annotated[
        bool,
        typer.Option(
            "--origin", help="Show where each value comes from: default, file, variable, flag."
        ),
    ] = False,
    output: Output = Format.TABLE,
    **flags: Any,
) -> None:
    """Show every option and its value, without starting anything.

    Accepts the flags of `qcfeed serve --help` and `qcfeed explain prometheus`, to show their effect. Precedence,
    lowest first: default, file, environment, context, flag. Secrets are not shown.

    Exit status: 0; 2 if the configuration is invalid.
    """
    all_given, values = given(flags), []
    for group in config.GROUPS:
        declared = config.options(group)
        in_group = {each.name: all_given[each.name] for each in declared if each.name in all_given}
        loaded: loading.Loaded[Any] = (
            prometheus.resolve(ctx, in_group)
            if group is config.PrometheusConfig
            else loading.load_group(group, in_group, file=options(ctx).config)
        )
        values += [
            Value(each, getattr(loaded.config, each.name), loaded.origins[each.name])
            for each in declared
        ]
    rows = [{"name": v.option.name, "value": v.shown, "origin": v.origin} for v in values]
    raw = json.dumps({"schema": "qcfeed.config/1", "options": rows}).encode()
    show_table(output, _values(origin=origin), values, raw=raw)


app.command(
    epilog=examples(
        "qcfeed config show --origin",
        "qcfeed config show --origin --port 9000 | grep port",
        "qcfeed config show -o json | jq -r '.options[] | select(.origin != \"default\").name'",
    )
)(listed(with_flags(show, config.all_options(), hidden=config.all_options())))


@app.command(
    epilog=examples(
        "qcfeed config init",
        "qcfeed config init /etc/qcfeed/config.toml",
        "qcfeed config init - | less",
    )
)
def init(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="File to write; - for stdout.", show_default=False),
    ] = None,
    force: output_files.Force = False,
) -> None:
    """Create a configuration file that lists every option, commented out.

    Without FILE, writes the default file: $QCFEED_CONFIG, or qcfeed/config.toml in
    $XDG_CONFIG_HOME.

    Exit status: 6 if the file exists and --force is not given; 2 if it cannot be written.
    """
    if file == Path("-"):
        emit(config_file.template())
        return
    path = file or loading.file_in_use(options(ctx).config)
    output_files.make_directory(path.parent)
    content = config_file.template().encode()
    output_files.write(path, content, force=force, mode=output_files.PUBLIC)
    say(f"wrote {path}: every option is commented out, so nothing is set yet")
    say("  next: edit it, then `qcfeed config check`")


@app.command(epilog=examples("qcfeed config check", "qcfeed config check /etc/qcfeed/config.toml"))
def check(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="File to check. Default: the one in use.", show_default=False
        ),
    ] = None,
) -> None:
    """Check the configuration file, the environment and the contexts, without starting anything.

    Reports every error, not only the first; and what the service lacks if other machines can reach
    it, which is not an error.

    Exit status: 2 if there are errors, 0 if not.
    """
    path = file or options(ctx).config
    errors = config_file.errors(path)
    for error in errors[:-1]:
        say(f"{error.message}\n  hint: {error.hint}" if error.hint else error.message)
    if errors:
        raise errors[-1]  # main.py prints the last one, and exits with its status
    say(config_file.summary(path))
    for gap in exposure.gaps(loading.load({}, file=path).config):
        say(f"exposed: {gap.problem}\n  next: {gap.remedy}")


@app.command(epilog=examples("qcfeed config path"))
def path(ctx: typer.Context) -> None:
    """Print the path of the configuration file, whether it exists or not.

    On stderr also the current context, if it sets one.

    Exit status: 0.
    """
    emit(str(loading.file_in_use(options(ctx).config)))
    if (current := contexts.current(file=options(ctx).config)) is not None:
        say(f"current context: {current}")


@app.command(
    name="set",
    epilog=examples("qcfeed config set port 8006", "qcfeed config set prometheus http://p:9090"),
)
def set_value(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="OPTION", help="Name of the option: stale_after.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value.")],
) -> None:
    """Set one option in the configuration file; comments and other lines stay.

    Creates the file if it does not exist. A value that would be invalid is refused.

    Exit status: 2 if the value or the file is invalid, 0 otherwise.
    """
    known = {each.name: each for each in config.all_options()}
    name = key.removeprefix("--").replace("-", "_")
    if name not in known:
        raise not_found("option", repr(name), hint="`qcfeed config show` lists them", known=known)
    converted = convert(known, name, value, "the command line")
    for group in config.GROUPS:
        if name in {each.name for each in config.options(group)}:
            group(**{name: converted})  # raises ConfigError outside its bounds
    file = _edit(ctx, lambda text: config_edit.with_value(text, name, converted))
    say(f"{file} sets {name} now; a service reads it when it starts")


def _edit(ctx: typer.Context, change: Callable[[str], str]) -> Path:
    """Change the text of the configuration file, which is created if it does not exist; its path."""
    file = loading.file_in_use(options(ctx).config)
    found = loading.read_file(options(ctx).config) if file.exists() else None
    changed = change(file.read_text(encoding="utf-8") if found else "")
    output_files.make_directory(file.parent)
    mode = file.stat().st_mode & 0o777 if file.exists() else output_files.PRIVATE
    output_files.write(file, changed.encode(), force=True, mode=mode)
    return file


@app.command(
    name="use-context",
    epilog=examples("qcfeed config use-context prod", "qcfeed config use-context --unset"),
)
def use_context(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[CONTEXT]", help="Name of the context.", show_default=False),
    ] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Use no context by default.")] = False,
) -> None:
    """Make a context the default: for every command that names no service.

    Commands then say on stderr which service they ask. Precedence, highest first: the options
    --context, --instance, --socket and --url; their environment variables; this context; the only
    service on this machine.

    Exit status: 0; 2 if there is no such context.
    """
    if (name is None) != unset:
        raise UsageError(
            "name a context, or give --unset", hint="`qcfeed config contexts` lists them"
        )
    if name is None:
        file = _edit(ctx, lambda text: config_edit.without(text, loading.CURRENT_CONTEXT))
        say(f"{file} sets no current context now")
        return
    found = contexts.find(name, file=options(ctx).config)
    file = _edit(ctx, lambda text: config_edit.with_value(text, loading.CURRENT_CONTEXT, name))
    say(f"commands that name no service ask {name} now: {unsecret(found.service)} ({file})")


@app.command(name="current-context", epilog=examples("qcfeed config current-context"))
def current_context(ctx: typer.Context) -> None:
    """Print the name of the current context.

    Exit status: 0; 2 if none is set.
    """
    if (current := contexts.current(file=options(ctx).config)) is None:
        raise NotFoundError(
            "no current context is set", hint="`qcfeed config use-context NAME` sets one"
        )
    emit(current)


@app.command(
    name="contexts",
    epilog=examples("qcfeed config contexts", "qcfeed --context prod status"),
)
@listed
def list_contexts(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the contexts of the configuration file: named remote services, for --context.

    Exit status: 0.
    """
    found = list(contexts.read(file=options(ctx).config).values())
    if not found and output in (Format.TABLE, Format.WIDE):
        say(f"no contexts: {loading.file_in_use(options(ctx).config)} has no [contexts.NAME]")
        say("  next: `qcfeed config init - | tail -20` shows how to declare one")
        return
    current = contexts.current(file=options(ctx).config)
    rows = [{"name": each.name, **each.public_settings()} for each in found]
    raw = json.dumps(
        {"schema": "qcfeed.contexts/1", "current_context": current, "contexts": rows}
    ).encode()
    show_table(output, _contexts_table(current), found, raw=raw)
