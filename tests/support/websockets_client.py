"""The websockets package's clients, without times of their own that a busy machine would reach."""

from __future__ import annotations

from functools import partial

import websockets.asyncio.client
import websockets.sync.client

from tests.support.patience import PATIENCE

connect = partial(websockets.sync.client.connect, ping_interval=None, open_timeout=PATIENCE)
connect_async = partial(
    websockets.asyncio.client.connect, ping_interval=None, open_timeout=PATIENCE
)
