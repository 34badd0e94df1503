"""An agent: the official SDK's client, which starts ``qcfeed mcp`` and calls its tools over stdin and stdout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, environment


@asynccontextmanager
async def agent(home: Path, *options: str, **variables: str) -> AsyncIterator[Client]:
    """A connected client of ``qcfeed mcp`` with these options."""
    server = StdioServerParameters(
        command=str(QCFEED), args=["mcp", *options], env=environment(home) | variables
    )
    async with Client(server, read_timeout_seconds=PATIENCE) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a tool that succeeds. The SDK checks it against the tool's schema."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    answer: dict[str, Any] = result.structured_content
    return answer


async def text(client: Client, tool: str, **arguments: Any) -> tuple[bool, str]:
    """Whether a tool failed, and the text of its answer."""
    result = await client.call_tool(tool, arguments)
    return bool(result.is_error), "\n".join(each.text for each in result.content)


def ask_once(home: Path, tool: str, **arguments: Any) -> dict[str, Any]:
    """One call of a tool, by an agent of its own."""

    async def ask() -> dict[str, Any]:
        async with agent(home) as client:
            return await call(client, tool, **arguments)

    return anyio.run(ask)
