"""An ordinary asyncio program, started by tests/support/attachable.py. It does what it reads on stdin."""

import asyncio
import gc
import json
import sys
import threading
import time
from pathlib import Path

held = set()


async def forever():
    await asyncio.Event().wait()


def state():
    """What an observer must leave as it was."""
    loop = asyncio.get_running_loop()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "os_threads": len(list(Path("/proc/self/task").iterdir())),
        "factory": repr(loop.get_task_factory()),
        "handler": repr(loop.get_exception_handler()),
        "path": list(sys.path),
        "finders": len(sys.meta_path),
        "gc_callbacks": len(gc.callbacks),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def spawn():
    held.add(asyncio.create_task(forever()))


async def main():
    loop = asyncio.get_running_loop()
    if "eager" in sys.argv:
        loop.set_task_factory(asyncio.eager_task_factory)
    for _ in range(11):
        spawn()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say("ready")
    while line := (await reader.readline()).decode().strip():
        word, _, path = line.partition(" ")
        if word == "spawn":
            spawn()
        elif word == "block":
            Path(path).read_text()  # noqa: ASYNC240 - of a pipe: the loop is stuck until it is closed
        say(json.dumps(state()))


if "no-loop" in sys.argv:
    say("ready")
    while True:
        time.sleep(0.01)
elif "uvloop" in sys.argv:
    import uvloop

    uvloop.run(main())
elif "thread" in sys.argv:
    thread = threading.Thread(target=asyncio.run, args=(main(),), name="loop")
    thread.start()
    thread.join()
else:
    asyncio.run(main())
