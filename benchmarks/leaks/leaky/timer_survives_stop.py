"""A device polls itself by ``call_later``. Stopping it forgets the timer, and each timer starts a short task.

Public bug: https://github.com/Bluetooth-Devices/led-ble/issues/160
"""

import asyncio

from benchmarks.leaks.program import run

polls: set[asyncio.Task[None]] = set()


class Device:
    def __init__(self) -> None:
        self.timer: asyncio.TimerHandle | None = None

    async def read_state(self) -> None:
        await asyncio.sleep(0.3)  # waits

    def poll(self) -> None:
        task = asyncio.create_task(self.read_state())  # leak
        polls.add(task)
        task.add_done_callback(polls.discard)
        self.timer = asyncio.get_running_loop().call_later(1, self.poll)

    def stop(self) -> None:
        self.timer = None


async def main(rate: float) -> None:
    while True:
        device = Device()
        device.poll()
        device.stop()
        await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    run(main)
