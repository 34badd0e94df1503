"""Checks an installed upstream: ``python -m qcfeed.upstreams.conformance URL --symbols A,B``."""

from __future__ import annotations

import argparse
import sys
import unittest

from qcfeed.errors import QcfeedError
from qcfeed.streams import write_message
from qcfeed.upstreams.conformance.checks import UpstreamConformance


def main() -> int:
    """Run every check; the exit status is 0 if all passed, 1 if some failed, 2 for a wrong URL."""
    parser = argparse.ArgumentParser(
        prog="python -m qcfeed.upstreams.conformance", description=__doc__
    )
    parser.add_argument("url", help="as for --upstream, for example sim:?rate=100")
    parser.add_argument("--symbols", required=True, help="two with quotes, for example AAPL,MSFT")
    parser.add_argument("--unknown", help="a symbol that the upstream does not have")
    given = parser.parse_args()
    subject = UpstreamConformance()
    subject.url, subject.unknown = given.url, given.unknown
    subject.symbols = [symbol for symbol in given.symbols.split(",") if symbol]
    try:
        results = [_run(subject, name) for name in dir(subject) if name.startswith("test_")]
    except QcfeedError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        write_message(f"error: {error.message}{hint}\n")
        return int(error.exit_status)
    return 0 if all(results) else 1


def _run(subject: UpstreamConformance, name: str) -> bool:
    sentence = name.removeprefix("test_").replace("_", " ")
    try:
        getattr(subject, name)()
    except unittest.SkipTest as reason:
        print(f"skipped  {sentence}: {reason}")
    except AssertionError as error:
        print(f"FAILED   {sentence}: {error}")
        return False
    else:
        print(f"passed   {sentence}")
    return True


if __name__ == "__main__":
    sys.exit(main())
