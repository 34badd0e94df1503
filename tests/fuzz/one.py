"""Fuzz one target with Atheris until its options end it: `python -m tests.fuzz.one TARGET [libFuzzer options]`."""

from __future__ import annotations

import logging
import sys

import atheris

# The coverage of everything imported here guides the fuzzer.
with atheris.instrument_imports(
    include=["qcfeed", "wsproto", "tests.fuzz.targets", "tests.fuzz.access", "jwt"]
):
    from tests.fuzz.budget import outcome
    from tests.fuzz.targets import TARGETS

target = TARGETS[sys.argv[1]]


def run(raw: bytes) -> None:
    outcome(target, raw)


if __name__ == "__main__":
    logging.disable()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], run)
    atheris.Fuzz()
