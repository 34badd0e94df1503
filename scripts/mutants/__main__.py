"""Mutation tests: inject a seeded sample of small faults and check that tests fail (``make mutants``).

A mutant is one small change of one module. It is made in a temporary copy of the project and judged
by the tests of its part (parts.toml). The same seed selects the same mutants as long as the lines
that they change exist, whatever changes elsewhere.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import itertools
import json
import os
import queue
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from scripts.mutants import table
from scripts.mutants.judge import BrokenError, Copy, Outcome, Verdict
from scripts.mutants.sites import Mutant
from scripts.mutants.table import Part

PROJECT = Path(__file__).parents[2]
RESULTS = PROJECT / ".mutants"
ENOUGH = 0.9
"""Minimum share of noticed mutants, not counting equivalent ones."""
LIMIT, TIMES = 60.0, 4.0
"""Time limit of a mutant's tests: this many seconds plus this multiple of their normal duration."""

Judged = tuple[Part, Mutant, Outcome]


def main() -> int:
    options = _options()
    known = table.equivalents()
    with tempfile.TemporaryDirectory(prefix="qcfeed-mutants-") as place:
        first = Copy.of(PROJECT, Path(place, "0"))
        parts = table.named(table.parts(first.root), options.part)
        everything = list(table.mutants(first.root, parts))
        if not options.part:
            for stale in known.keys() - {mutant.key for _, mutant in everything}:
                print(f"equivalent.toml: mutant {stale} does not exist any more; remove it")
        chosen = _choose(everything, options, first.root)
        print(f"{len(chosen)} of {len(everything):,} mutants, seed {options.seed}", flush=True)
        copies = [first, *(first.clone(Path(place, str(n))) for n in range(1, options.jobs))]
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{options.seed}.jsonl").open("a", buffering=1) as results:
            judged = _judge_all(chosen, known, copies, results)
        return _report(judged, first.root)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument(
        "--skip",
        type=int,
        default=0,
        help="skip the first mutants of the sample, which were judged before",
    )
    parser.add_argument("--part", help="only mutants of this part")
    parser.add_argument("--key", nargs="+", help="only these mutants, in or out of the sample")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def _choose(
    everything: list[tuple[Part, Mutant]], options: argparse.Namespace, root: Path
) -> list[tuple[Part, Mutant]]:
    if options.key:
        return [(part, mutant) for part, mutant in everything if mutant.key in options.key]
    # The hash ranks each mutant by itself, so its place does not depend on other mutants.
    ranked = sorted(
        everything,
        key=lambda each: hashlib.sha256(f"{options.seed} {each[1].key}".encode()).digest(),
    )
    some = (each for each in ranked if each[1].compiles((root / each[1].path).read_bytes()))
    return list(itertools.islice(some, options.skip, options.skip + options.count))


def _judge_all(
    chosen: list[tuple[Part, Mutant]], known: dict[str, str], copies: list[Copy], results: IO[str]
) -> list[Judged]:
    """Outcomes in the order of ``chosen``; as many run at once as there are copies. Prints each outcome."""
    idle: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for each in copies:
        idle.put(each)
    limits: dict[str, float] = {}
    print_lock = threading.Lock()

    def time_tests(part: Part) -> None:
        copy = idle.get()
        try:
            limits[part.name] = LIMIT + TIMES * copy.baseline(part.tests)
        finally:
            idle.put(copy)

    def judge(each: tuple[Part, Mutant]) -> Judged:
        part, mutant = each
        if mutant.key in known:
            return part, mutant, Outcome(Verdict.EQUIVALENT, 0.0, known[mutant.key])
        copy = idle.get()
        try:
            outcome = copy.judge(mutant, part.tests, limits[part.name])
        finally:
            idle.put(copy)
        with print_lock:
            print(_line(part, mutant, outcome), flush=True)
            results.write(json.dumps(_row(part, mutant, outcome)) + "\n")
        return part, mutant, outcome

    needed = {part.name: part for part, mutant in chosen if mutant.key not in known}
    with ThreadPoolExecutor(len(copies)) as pool:
        list(pool.map(time_tests, needed.values()))
        return list(pool.map(judge, chosen))


def _line(part: Part, mutant: Mutant, outcome: Outcome) -> str:
    at = f"{mutant.path}:{mutant.line}"
    return f"{mutant.key}  {outcome.verdict:9} {outcome.seconds:5.1f} s  {part.name:12} {at}  {mutant.kind}  {outcome.by}"


def _row(part: Part, mutant: Mutant, outcome: Outcome) -> dict[str, object]:
    return {
        "key": mutant.key, "part": part.name, "path": mutant.path, "line": mutant.line,
        "kind": mutant.kind, "verdict": outcome.verdict, "by": outcome.by,
    }  # fmt: skip


def _report(judged: list[Judged], root: Path) -> int:
    """Print survivors with their changes, and the score. Returns 1 if too few were noticed, or none was judged."""
    for part, mutant, outcome in judged:
        if outcome.verdict is Verdict.SURVIVED:
            print(f"\n{mutant.key} survived in {mutant.where or 'the module'} ({part.name})")
            print(_diff(mutant, root))
    counted = Counter(outcome.verdict for _, _, outcome in judged)
    seen = counted[Verdict.NOTICED] + counted[Verdict.TIMED_OUT]
    of = len(judged) - counted[Verdict.EQUIVALENT]
    print(f"\n{', '.join(f'{counted[each]} {each}' for each in Verdict)}")
    if of:
        print(f"{seen} of {of} non-equivalent mutants were noticed: {seen / of:.0%}")
    return 0 if of and seen >= ENOUGH * of else 1


def _diff(mutant: Mutant, root: Path) -> str:
    before = (root / mutant.path).read_bytes()
    texts = [each.decode().splitlines() for each in (before, mutant.applied(before))]
    return "\n".join(difflib.unified_diff(*texts, mutant.path, mutant.path, n=1, lineterm=""))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenError, table.TableError) as error:
        sys.exit(f"mutants: {error}")
