"""Each rule of a customer is compiled to a coroutine function of its own, and watches for ever, also when replaced.

Common fault: a new version is started, and the old one is not stopped.
"""

import asyncio
from typing import Any

from benchmarks.leaks.program import run

RULE = """
async def watch(changed):
    while await changed.get():
        pass
"""


def compiled() -> Any:
    names: dict[str, Any] = {}
    exec(compile(RULE, "rule", "exec"), names)
    return names["watch"]


async def main(rate: float) -> None:
    changed: list[asyncio.Queue[bool]] = []
    rules: list[asyncio.Task[None]] = []
    while True:
        changed.append(asyncio.Queue())
        rules.append(asyncio.create_task(compiled()(changed[-1])))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
