"""Each report is retried six times and then dropped, fifteen seconds later. The collector is gone.

Looks like: retries without end against a server that is gone.
"""

import asyncio
import socket

from benchmarks.leaks.program import run


async def send(port: int) -> None:
    for attempt in range(6):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(min(0.5 * 2**attempt, 4))
        else:
            writer.close()
            return


async def main(rate: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # closed again: connections are refused
    reports: set[asyncio.Task[None]] = set()
    while True:
        report = asyncio.create_task(send(port))
        reports.add(report)
        report.add_done_callback(reports.discard)
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
