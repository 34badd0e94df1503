"""``qcfeed config``: what serve would run with and who said so; a file to begin with; contexts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from qcfeed import config, contexts
from qcfeed.cli import config_file, prometheus
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.flags import given, with_flags
from qcfeed.cli.ui.render import emit
from qcfeed.cli.ui.render import show as show_table
from qcfeed.cli.ui.table import Column, Table
from qcfeed.contexts import Context
from qcfeed.errors import NeedsConfirmationError, UnreachableError
from qcfeed.options import Option, unsecret

app = new_app()


@app.callback(
    epilog=examples("qcfeed config show --origin", "qcfeed config init", "qcfeed config check")
)
def group() -> None:
    """Show, begin or check the configuration, or list contexts."""


class Value(NamedTuple):
    """One option, what it is set to, and by whom: default, a file, $VARIABLE or --flag."""

    option: Option
    value: Any
    origin: str

    @property
    def shown(self) -> Any:
        if self.option.secret:
            return None if self.value is None else "***"
        return unsecret(self.value)


def _set_colour(value: Value) -> str | None:
    return None if value.origin == config.DEFAULT else "cyan"


def _values(*, origin: bool) -> Table[Value]:
    return Table(
        (
            Column("option", value=lambda v: v.option.name),
            Column("value", "shown", show=config_file.toml, least=12, colour=_set_colour),
            Column("origin", least=16, wide=not origin),
            Column("help", value=lambda v: v.option.help, wide=True),
        ),
        identity=lambda v: str(v.option.name),
    )


CONTEXTS: Table[Context] = Table(
    (
        Column("context", "name"),
        Column("service", "leads_to", least=20),
        Column("prometheus", value=lambda c: unsecret(c.prometheus), least=20, rank=1),
        Column("token_file", least=20, rank=2),
    ),
    identity=lambda c: c.name,
)


def show(
    ctx: typer.Context,
    origin: Annotated[
        bool, typer.Option("--origin", help="Also who set it: default, file, variable or flag.")
    ] = False,
    output: Output = Format.TABLE,
    **flags: Any,
) -> None:
    """Show every option and its value, as a command would run with it here.

    It takes the flags of `qcfeed serve` and of those that ask Prometheus, and starts nothing. A
    later origin wins: default, file, environment, context, flag. Secrets are not shown.
    """
    chosen, values = given(flags), []
    for group in config.GROUPS:
        declared = config.options(group)
        mine = {each.name: chosen[each.name] for each in declared if each.name in chosen}
        loaded: config.Loaded[Any] = (
            prometheus.chosen(ctx, mine)
            if group is config.PrometheusConfig
            else config.load_group(group, mine, file=options(ctx).config)
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
)(with_flags(show, config.all_options()))


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
        typer.Argument(metavar="[FILE]", help="Where; - for stdout.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also where there is one.")] = False,
) -> None:
    """Write a configuration file with every option in it, commented out.

    Without FILE it is the one that is read when none is named.
    """
    if file == Path("-"):
        emit(config_file.written())
        return
    path = file or config.file_in_use(options(ctx).config)
    if path.exists() and not force:
        raise NeedsConfirmationError(
            f"there is a file {path} already", hint="nothing was written; --force replaces it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config_file.written(), encoding="utf-8")
    except OSError as error:
        raise UnreachableError(
            f"cannot write {path}: {error.strerror}", hint="name another: `qcfeed config init FILE`"
        ) from error
    say(f"wrote {path}: nothing is set yet, every option is commented out")
    say("  next: edit it, then `qcfeed config check`")


@app.command(epilog=examples("qcfeed config check", "qcfeed config check /etc/qcfeed/config.toml"))
def check(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Which file.", show_default=False),
    ] = None,
) -> None:
    """Check the file, the environment and the contexts as `qcfeed serve` would, and start nothing.

    Exit status: 2 when something in it is wrong; each fault is said. 0 otherwise.
    """
    chosen = file or options(ctx).config
    faults = config_file.faults(chosen)
    for fault in faults[:-1]:
        say(f"{fault.message}\n  hint: {fault.hint}" if fault.hint else fault.message)
    if faults:
        raise faults[-1]
    say(config_file.verdict(chosen))


@app.command(
    name="contexts",
    epilog=examples("qcfeed config contexts", "qcfeed --context prod status"),
)
def list_contexts(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the contexts of the configuration file: services elsewhere, by name."""
    found = list(contexts.read(file=options(ctx).config).values())
    if not found and output in (Format.TABLE, Format.WIDE):
        say(f"no contexts: {config.file_in_use(options(ctx).config)} has no [contexts.NAME]")
        say("  next: `qcfeed config init - | tail -20` shows how one is declared")
        return
    rows = [{"name": each.name, **each.told()} for each in found]
    raw = json.dumps({"schema": "qcfeed.contexts/1", "contexts": rows}).encode()
    show_table(output, CONTEXTS, found, raw=raw)
