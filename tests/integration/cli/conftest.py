"""The command line called in this process, as its unit tests call it."""

from tests.unit.cli.conftest import Left, _home, qcfeed_

__all__ = ["Left", "_home", "qcfeed_"]
