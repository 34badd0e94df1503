"""The command line: parses options, requests answers from a control plane, prints them.

main.py has the table of commands. Each command is a module of its name, or a package of its name
(``tasks/``) that starts in command.py.

A command's module has a Typer application named ``app``, with one command or with a callback and
subcommands. At its top it imports only what that command needs, because startup time counts::

    from qcfeed.cli.context import Format, Output, client, examples, new_app

    app = new_app()

    @app.command(epilog=examples("qcfeed watch AAPL MSFT"))
    def watch(ctx: typer.Context, symbols: ..., output: Output = Format.TABLE) -> None:
        \"\"\"Show live quotes.  (The first sentence is the short help in main.py's table.)\"\"\"

It reads the global options with ``context.options(ctx)``, prints results with ``render`` and messages
with ``context.say``. It raises QcfeedError when it cannot continue (main.py prints the error and sets
the exit status) and ``typer.Exit(ExitStatus.FINDINGS)`` to exit with another status.
"""
