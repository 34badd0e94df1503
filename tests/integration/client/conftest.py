"""The scripted server, one a test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.scripted_server import ScriptedServer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    served = ScriptedServer()
    await served.start()
    yield served
    await served.stop()
