"""Run tests on every Python that qcfeed supports.

    python3 scripts/test_all.py                           # the whole suite, on each
    python3 scripts/test_all.py --versions 3.14,3.15 --tests tests/unit -- -x -q
    python3 scripts/test_all.py --versions ends --ran .venv

Each version has an environment of its own, .venv-VERSION, made as `make test` makes .venv. The last
lines say of each version: passed, FAILED, or "not here" and why.
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
            results[version] = f"the whole suite ran on it ({options.ran})"
        else:
            results[version] = run(version, [*options.tests, *options.pytest])
    for version, result in results.items():
        print(f"Python {version}: {result}")
    return exit_status(results.values())


def run(version: str, arguments: Sequence[str]) -> str:
    """What became of the tests on one version."""
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
        return f"{FAILED}: no environment could be made with {python}"
    print(f"\nPython {version}: {python}", flush=True)
    begun = time.monotonic()
    tested = subprocess.run([f"{environment}/bin/python", "-m", "pytest", *arguments], check=False)
    verdict = PASSED if tested.returncode == 0 else FAILED
    return f"{verdict} ({time.monotonic() - begun:.0f} s)"


def exit_status(results: Sequence[str]) -> int:
    """0 when no version failed and one at least was there."""
    failed = any(result.startswith(FAILED) for result in results)
    return int(failed or all(result.startswith("not here") for result in results))


def chosen(words: str) -> list[str]:
    """``all``, ``ends`` (the oldest and the two newest), or versions with commas between."""
    supported = interpreters.supported()
    if words in ("", "all"):
        return supported
    if words == "ends":
        return [supported[0], *supported[-2:]]
    versions = words.split(",")
    if unknown := [each for each in versions if each not in supported]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(supported)}")
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
        help="leave out this environment's version: the whole suite ran there",
    )
    parser.add_argument("pytest", nargs="*", help="after --: arguments for pytest")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
