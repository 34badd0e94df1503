"""``python -m qcfeed``: the same as the console script."""

from qcfeed.cli.main import run

if __name__ == "__main__":
    run()
