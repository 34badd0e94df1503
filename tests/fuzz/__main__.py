"""Look for inputs that a reader does not stand: `make fuzz` (SECONDS=60 over all targets, TARGETS='frames symbol').

New inputs that reach new code collect in .tools/fuzz. An input that fails is kept in tests/fuzz/corpus,
where the suite replays it from then on.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import logging
import subprocess
import sys
from pathlib import Path

from tests.fuzz.budget import check
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
FOUND = ROOT / ".tools/fuzz"
LONGEST = 16_384
"""Bytes of the longest input."""
_INPUT_SECONDS, _MEGABYTES = 10, 1_024


def fuzz(target: Target, seconds: int) -> list[str]:
    """Fuzz ``target`` and check what was found against its budgets; returns the failures."""
    kept, found = CORPUS / target.name, FOUND / target.name
    for directory in (kept, found):
        directory.mkdir(parents=True, exist_ok=True)
    words = found.with_suffix(".words")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words or ("x",)))
    ran = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz.one", target.name,
            f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={_INPUT_SECONDS}", f"-dict={words}",
            f"-rss_limit_mb={_MEGABYTES}", f"-artifact_prefix={kept}/", "-print_final_stats=1", found, kept,
        ],
        cwd=ROOT, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    failures = (
        [f"{target.name}: {ran.stdout[-1500:]}{ran.stderr[-1500:]}"] if ran.returncode else []
    )
    for path in found.iterdir():
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                check(target, path.read_bytes())
        except Exception as error:  # noqa: BLE001 - any error is a failure to report
            failures.append(f"{target.name}: {path}: {error!r}")
            path.rename(kept / path.name)
    print(f"{target.name:<16} {_executed(ran.stderr):>9} inputs, {len(list(found.iterdir())):>5} kept", flush=True)  # fmt: skip
    return failures


def _executed(log: str) -> str:
    lines = [line for line in log.splitlines() if "number_of_executed_units" in line]
    return f"{int(lines[-1].split()[-1]):,}" if lines else "?"


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="over all targets")
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="default: all")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.exit(
            "Atheris is not installed: it has wheels for CPython 3.11 to 3.13 (pip install '.[fuzz]')"
        )
    logging.disable()
    chosen = [TARGETS[name] for name in given.targets or TARGETS]
    each = max(1, given.seconds // len(chosen))
    failures = [failure for target in chosen for failure in fuzz(target, each)]
    sys.exit("\n".join(failures) or None)


if __name__ == "__main__":
    main()
