"""One scripted server per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.ports import refusing_port
from tests.support.scripted_server import ScriptedServer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    served = ScriptedServer()
    with (
        refusing_port() as served.port
    ):  # the port stays reserved while a test has stopped the server
        await served.start()
        yield served
        await served.stop()
