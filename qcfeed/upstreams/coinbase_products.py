"""The products that the exchange lists, from its REST interface, so that unknown ones need no request."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, NoReturn

import aiohttp
import msgspec

from qcfeed.errors import UpstreamError
from qcfeed.upstreams import proxy

ENDPOINT = "https://api.exchange.coinbase.com/products"

_REFRESH = 600.0
"""Seconds between two readings of the list: how long a new product stays unknown."""
_RETRY = 5.0
"""Seconds until a list that could not be read is tried again; twice as many each time, up to _REFRESH."""
_TIMEOUT = 10.0
_MAX_BYTES = 8 * 1024 * 1024

log = logging.getLogger(__name__)


_GONE = "delisted"


class _Product(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(max_length=64)]
    status: Annotated[str, msgspec.Meta(max_length=64)] = "online"


_decoder = msgspec.json.Decoder(list[_Product])


class ProductList:
    """The exchange's products. ``names`` is None while they are not known.

    ``url``: where the list is; None if there is none.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self.names: frozenset[str] | None = None
        self._accepted: set[str] = set()
        """Products that the exchange has accepted before."""

    def exists(self, name: str) -> bool:
        """Whether the exchange is known to have the product. Its list decides as soon as it is known."""
        return name in (self._accepted if self.names is None else self.names)

    def accept(self, name: str) -> None:
        """The exchange has accepted a subscription to the product."""
        self._accepted.add(name)

    async def keep_current(self, session: aiohttp.ClientSession) -> NoReturn:
        """Read the list every ten minutes. A failure is logged; the names read before stay valid."""
        retry = _RETRY
        while True:
            wait = _REFRESH
            if self._url is not None:
                try:
                    self.names = await self._read(session, self._url)
                    retry = _RETRY
                except (
                    aiohttp.ClientError, OSError, TimeoutError, UpstreamError, ValueError,
                    msgspec.MsgspecError, RecursionError,
                ) as error:  # fmt: skip
                    log.warning(
                        "cannot read the list of products at %s: %s: %s",
                        self._url, type(error).__name__, error,
                    )  # fmt: skip
                    wait, retry = retry, min(2 * retry, _REFRESH)
            await asyncio.sleep(wait)

    def remove(self, name: str) -> None:
        """The exchange refuses the product: it is gone until the list is read again and has it."""
        self._accepted.discard(name)
        if self.names is not None:
            self.names -= {name}

    async def _read(self, session: aiohttp.ClientSession, url: str) -> frozenset[str]:
        by = proxy.find(url)
        async with (
            asyncio.timeout(_TIMEOUT),
            session.get(url, proxy=by.url, proxy_headers=by.headers, max_redirects=3) as response,
        ):
            response.raise_for_status()
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > _MAX_BYTES:
                    raise UpstreamError(f"more than {_MAX_BYTES:,} bytes")
        return frozenset(each.id for each in _decoder.decode(body) if each.status != _GONE)
