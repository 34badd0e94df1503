"""Walk until the time is over: `make chaos` (SECONDS=600 SEED=). A failure prints its seed and steps."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.walk import WalkError, walk

STEPS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, help="repeat one walk")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of one walk")
    given = parser.parse_args()
    logging.disable()  # the walk's drills and faults fill the service's log
    began, walks, steps = time.monotonic(), 0, 0
    while walks == 0 or (given.seed is None and time.monotonic() - began < given.seconds):
        seed = random.randrange(2**32) if given.seed is None else given.seed
        with tempfile.TemporaryDirectory() as directory:
            try:
                steps += asyncio.run(walk(seed, given.steps, Path(directory)))
            except WalkError as error:
                sys.exit(
                    f"{error}\n\nagain: python -m tests.chaos --seed {seed} --steps {given.steps}"
                )
        walks += 1
        print(f"{time.monotonic() - began:7.0f} s  {walks} walks, {steps} steps", flush=True)


if __name__ == "__main__":
    main()
