"""A subscriber reconnects whenever its server closes the connection. Each time, a wait for its own end stays.

Public bug: https://github.com/permitio/fastapi_websocket_pubsub/pull/98
Packages: fastapi-websocket-pubsub==1.0.1
Library: fastapi_websocket_pubsub/pub_sub_client.py, `for task in asyncio.as_completed(`
"""

import asyncio
import json
import logging

from fastapi_websocket_pubsub import PubSubClient
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from benchmarks.leaks.program import run


async def main(rate: float) -> None:
    async def answer_and_drop(connection: ServerConnection) -> None:
        call = json.loads(await connection.recv())["request"]["call_id"]
        pong = {"call_id": call, "result": "pong", "result_type": "str"}
        await connection.send(json.dumps({"response": pong}))
        await asyncio.sleep(1 / rate)

    logging.disable()  # the library logs every lost connection
    server = await serve_websockets(answer_and_drop, "127.0.0.1", 0)
    port = next(iter(server.sockets)).getsockname()[1]
    client = PubSubClient()
    try:
        client.start_client(f"ws://127.0.0.1:{port}")
        await asyncio.Event().wait()
    finally:  # it swallows its cancellation
        asyncio.get_running_loop().call_later(0.5, client._disconnect_signal.set)  # noqa: SLF001


if __name__ == "__main__":
    run(main)
