"""The websockets package's clients, without limits of their own that a busy machine would reach.

Without a limit on its queue, a client whose messages nobody takes goes on reading. With one it stops, answers no
ping either, and the service drops it after a while.
"""

from __future__ import annotations

from functools import partial

import websockets.asyncio.client
import websockets.sync.client

from tests.support.patience import PATIENCE

_PATIENT = {"ping_interval": None, "open_timeout": PATIENCE, "max_queue": None}

connect = partial(websockets.sync.client.connect, **_PATIENT)
connect_async = partial(websockets.asyncio.client.connect, **_PATIENT)
