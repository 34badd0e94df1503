"""The command line: parse, ask, draw. main.py has the table of the commands.

A command is a file of its name, or a room of its name (``tasks/``) where that would be too much for a
file: it begins in the room's command.py.

A command file has a Typer application named ``app`` with one command, or with a callback and
subcommands, and imports at its top no more than that command needs::

    from qcfeed.cli.context import Format, Output, client, examples, new_app

    app = new_app()

    @app.command(epilog=examples("qcfeed watch AAPL MSFT"))
    def watch(ctx: typer.Context, symbols: ..., output: Output = Format.TABLE) -> None:
        \"\"\"Show live quotes.  (Starts with the short help in main.py's table.)\"\"\"

It reads the options before the command with ``context.options(ctx)``, draws with ``render``, talks
on stderr with ``context.say``, raises QcfeedError when it cannot go on (main.py prints it and sets
the exit status), and leaves with another status by ``raise typer.Exit(ExitStatus.FINDINGS)``.
"""
