"""Run tests on every Python that qcfeed supports.

    python3 scripts/test_all.py                           # all tests, on each version
    python3 scripts/test_all.py --versions 3.14,3.15 --tests tests/unit -- -x -q
    python3 scripts/test_all.py --versions ends --ran .venv

Each version has its own environment, .venv-VERSION, created like .venv of `make test`. The last lines
give the result per version: passed, FAILED, or "not here" with the reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

import interpreters

PASSED, FAILED = "passed", "FAILED"


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    ran = None if options.ran is None else interpreters.describe(f"{options.ran}/bin/python")
    results = {}
    for version in options.versions:
        if ran is not None and ran.version == version:
            results[version] = f"all tests have run on it ({options.ran})"
        else:
            results[version] = run(version, [*options.tests, *options.pytest])
    for version, result in results.items():
        print(f"Python {version}: {result}")
    return exit_status(results.values())


def run(version: str, arguments: Sequence[str]) -> str:
    """The result of the tests on one version."""
    try:
        python = interpreters.find(version)
    except interpreters.UnavailableError as error:
        return f"not here: {error}"
    environment = f".venv-{version}"
    made = subprocess.run(
        [
            "make",
            "--no-print-directory",
            f"VENV={environment}",
            f"PYTHON={python}",
            f"{environment}/.suite",
        ],
        check=False,
    )
    if made.returncode:
        return f"{FAILED}: {python} could not create an environment"
    print(f"\nPython {version}: {python}", flush=True)
    begun = time.monotonic()
    tested = subprocess.run([f"{environment}/bin/python", "-m", "pytest", *arguments], check=False)
    verdict = PASSED if tested.returncode == 0 else FAILED
    return f"{verdict} ({time.monotonic() - begun:.0f} s)"


def exit_status(results: Sequence[str]) -> int:
    """0 if no version failed and at least one was available."""
    failed = any(result.startswith(FAILED) for result in results)
    return int(failed or all(result.startswith("not here") for result in results))


def chosen(words: str) -> list[str]:
    """``all``, ``ends`` (the oldest and the two newest), or a comma-separated list."""
    supported = interpreters.supported()
    if words in ("", "all"):
        return supported
    if words == "ends":
        return [supported[0], *supported[-2:]]
    versions = words.split(",")
    if unknown := [each for each in versions if each not in supported]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is not one of {', '.join(supported)}")
    return versions


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--versions", type=chosen, default="all", help="all, ends or 3.14,3.15")
    parser.add_argument("--tests", nargs="*", default=[], help="files or directories")
    parser.add_argument(
        "--ran",
        metavar="VENV",
        help="skip the version of this environment: all tests have run there",
    )
    parser.add_argument("pytest", nargs="*", help="after --: arguments for pytest")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
