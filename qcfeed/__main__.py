"""The console script, and ``python -m qcfeed``: a TAB does not wait for the command line's imports."""

import sys


def run() -> None:
    """Answer a shell's TAB (``__complete``), or run a command; leaves by SystemExit."""
    if sys.argv[1:2] == ["__complete"]:
        from qcfeed.cli.complete import answer

        answer.main(sys.argv[2:])
    else:
        from qcfeed.cli import main

        main.run()


if __name__ == "__main__":
    run()
