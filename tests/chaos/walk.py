"""One walk: a number of steps against a service of its own, from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest import mock

from qcfeed.config import Config
from qcfeed.diagnostics.ledger import Ledger
from qcfeed.service.app import Service
from tests.chaos.steps import WEIGHTS
from tests.chaos.world import OPTIONS, World
from tests.support.patience import PATIENCE
from tests.support.running_service import Running

_FAR = 10 * PATIENCE
"""Seconds for timeouts that must not expire during a walk."""


class WalkError(AssertionError):
    """Something did not hold. The text has the seed and every step until then."""


async def walk(seed: int, steps: int, directory: Path) -> int:
    """Take ``steps`` steps and check after each; returns how many did something. Raises WalkError."""
    chance = random.Random(seed)
    taken: list[str] = []
    try:
        async with _service(directory) as running:
            world = World(running, chance)
            for _ in range(steps):
                step = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                taken.append(f"{step.__name__} ...")  # if it fails in the middle
                taken[-1] = await step(world)
                if not taken[-1]:
                    taken.pop()
                    continue
                await world.check()
            taken.append("the end: everybody leaves")
            await world.end()
    except Exception as error:
        listed = "\n".join(f"{number:4} {text}" for number, text in enumerate(taken, 1))
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise WalkError(
            f"seed {seed}, {steps} steps: {error!r} at {where.name}: {where.line}\n{listed}"
        ) from error
    return len(taken)


@contextlib.asynccontextmanager
async def _service(directory: Path) -> AsyncIterator[Running]:
    with _environment(directory):
        ledger = Ledger()
        service = Service(Config(port=0, monitor=False, ping_interval=0, stall_timeout=_FAR, **OPTIONS), ledger)  # fmt: skip
        ledger.install(asyncio.get_running_loop())
        running = Running(service, ledger)
        running.remember_residents()
        await service.start()
        try:
            yield running
        finally:
            await service.stop()
            ledger.uninstall()
        await running.balanced()


@contextlib.contextmanager
def _environment(directory: Path) -> Iterator[None]:
    """Directories of its own, and no timeout that a busy machine could reach."""
    (directory / "run").mkdir(exist_ok=True)
    own = {"XDG_RUNTIME_DIR": str(directory / "run"), "XDG_STATE_HOME": str(directory / "state")}
    with (
        mock.patch.dict(os.environ, own),
        mock.patch("qcfeed.ws.pending.HEAD_TIMEOUT", _FAR),
        mock.patch("qcfeed.feed.staleness.OWN_LAG_LIMIT", _FAR),
    ):
        yield
