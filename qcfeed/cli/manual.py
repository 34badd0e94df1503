"""Generates man/qcfeed.1 from the commands, in the macros of man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from typer._click import Context

from qcfeed import __version__
from qcfeed.cli import command_tree, prometheus
from qcfeed.cli.flags import described
from qcfeed.cli.target import PROGRAM
from qcfeed.cli.ui.render import emit
from qcfeed.errors import ExitStatus

_ENVIRONMENT = {
    "QCFEED_*": "Every option of `qcfeed serve`, in capitals: QCFEED_PORT sets --port.",
    "QCFEED_CONFIG": "The configuration file.",
    "QCFEED_INSTANCE, QCFEED_SOCKET, QCFEED_URL, QCFEED_CONTEXT": (
        "The service, like --instance, --socket, --url and --context."
    ),
    "QCFEED_TOKEN": "The bearer token for --url, instead of the token file; for watch and repro, the API key or"
    " token of a service that demands one.",
    "NO_COLOR, FORCE_COLOR": "Turn colour off; turn it on also in a pipe.",
    "NOTIFY_SOCKET, WATCHDOG_USEC": (
        "Set by systemd; the service reports to it that it is ready and alive."
    ),
}
_FILES = {
    "$XDG_CONFIG_HOME/qcfeed/config.toml": "The default configuration file.",
    "$XDG_RUNTIME_DIR/qcfeed/INSTANCE.sock": "The control socket of a service.",
    "$XDG_RUNTIME_DIR/qcfeed/control.token": "The bearer token for the control plane over TCP.",
    "$XDG_STATE_HOME/qcfeed/INSTANCE.audit.jsonl": "The log of actions on a service, and by whom.",
}
_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"}


def manual() -> str:
    """The manual page."""
    root, *commands = command_tree.commands()
    lines = [
        f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {__version__}" "User Commands"',
        ".SH NAME",
        f"{PROGRAM} \\- {_text(_paragraphs(root)[0].rstrip('.'))}",
        ".SH SYNOPSIS",
        *_synopsis(root),
        ".SH DESCRIPTION",
        *_prose(_paragraphs(root)[1:]),
        ".SH OPTIONS",
        "Global options may stand before the command or after it.",
        *_options(root),
        ".SH COMMANDS",
    ]
    for ctx in commands:
        lines += [f".SS {_text(ctx.command_path)}", *_command(ctx)]
    statuses = {str(int(status)): f"{command_tree.MEANINGS[status]}." for status in ExitStatus}
    access = {each.flag: described(each) for each in prometheus.declared() if not each.secret}
    lines += [".SH PROMETHEUS", "Every command with --prometheus takes these options."]
    lines += _definitions(access)
    lines += [".SH EXIT STATUS", *_definitions(statuses)]
    lines += [".SH ENVIRONMENT", *_definitions(_ENVIRONMENT)]
    lines += [".SH FILES", *_definitions(_FILES)]
    lines += [".SH SEE ALSO", ".BR systemd.service (5),", ".BR prometheus (1)"]
    return "\n".join(lines) + "\n"


def _command(ctx: Context) -> Iterator[str]:
    yield from _synopsis(ctx)
    yield from _prose(_paragraphs(ctx))
    yield from _options(ctx)
    lines = (ctx.command.epilog or "").splitlines()[2:]  # without "\b" and "Examples:"
    if lines:
        yield from (".PP", "Examples:", ".PP", ".in +4n", ".EX")
        yield from (_text(line.strip()) for line in lines)
        yield from (".EE", ".in")


def _synopsis(ctx: Context) -> Iterator[str]:
    pieces = ctx.command.collect_usage_pieces(ctx)
    yield f".B {_text(ctx.command_path)}"
    yield " ".join(re.sub(r"([A-Z]+)", r"\\fI\1\\fR", _text(piece)) for piece in pieces)


def _paragraphs(ctx: Context) -> list[str]:
    return [" ".join(text.split()) for text in (ctx.command.help or "").split("\n\n")]


def _prose(paragraphs: list[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield from (".PP", _text(paragraph))


def _options(ctx: Context) -> Iterator[str]:
    for param in ctx.command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and "--help" not in param.opts:
            names, text = record
            styled = re.sub(r"(?<![\w:])(--?\w[\w-]*)", r"**\1**", names)
            yield from (".TP", _text(styled), _text(" ".join(text.split())))


def _definitions(items: dict[str, str]) -> Iterator[str]:
    for term, text in items.items():
        yield from (".TP", _text(f"**{term}**"), _text(text))


def _text(text: str) -> str:
    """Text escaped for roff; ``**x**`` and text in backquotes become bold."""
    roff = re.sub(r"\*\*(.+?)\*\*|\\\(ga(.+?)\\\(ga", r"\\fB\1\2\\fR", "".join(map(_escaped, text)))
    return f"\\&{roff}" if roff.startswith((".", "'")) else roff


def _escaped(letter: str) -> str:
    return _SPECIAL.get(letter, letter)


if __name__ == "__main__":
    emit(manual())
