"""Each report is sent in the background, and retried until it succeeds. The collector is gone for good.

Public bug: https://github.com/microsoft/ApplicationInsights-Python/issues/60
"""

import asyncio
import socket

from benchmarks.leaks.program import run


async def send(port: int) -> None:
    delay = 0.5
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(delay)  # waits
            delay = min(2 * delay, 10)
        else:
            writer.write(b"report")
            writer.close()
            return


async def main(rate: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # closed again: connections are refused
    reports = set()
    while True:
        reports.add(asyncio.create_task(send(port)))  # leak
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
