"""A client waits for the next price of any symbol in a task of its own. Callers give up; the task stays.

Public bug: https://github.com/ccxt/ccxt/issues/27746
"""

import asyncio
import contextlib

from benchmarks.leaks.program import run

SYMBOLS = ("BTC/USDT", "ETH/USDT", "QUIET/USDT")


class Client:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.next_price = {symbol: loop.create_future() for symbol in SYMBOLS}

    async def watch_prices(self) -> float:
        winner: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        race = asyncio.wait(self.next_price.values(), return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(race)  # leak
        task.add_done_callback(lambda done: winner.set_result(done.result()[0].pop().result()))
        return await winner


async def main(rate: float) -> None:
    client = Client()
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.watch_prices(), timeout=1 / rate)


if __name__ == "__main__":
    run(main)
