"""The URLs of the coinbase upstream.

coinbase:?silence=10         the public feed; seconds of silence after which it counts as lost;
                             reads the exchange's list of products, too
coinbase+ws://HOST:PORT/     another server with the same protocol; coinbase+wss:// with TLS;
                             products=http://HOST/products names the list of its products
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from qcfeed.errors import ConfigError
from qcfeed.upstreams.coinbase import Coinbase
from qcfeed.upstreams.url import UpstreamUrl

_TRANSPORTS = ("ws", "wss")


class _CoinbaseQuery(msgspec.Struct, forbid_unknown_fields=True):
    usage: ClassVar[str] = "silence: seconds, from 0.1 to 86,400"
    silence: Annotated[float, Meta(ge=0.1, le=86_400)] = 10.0


class _CoinbaseLikeQuery(_CoinbaseQuery, forbid_unknown_fields=True):
    usage: ClassVar[str] = f"{_CoinbaseQuery.usage}; products: the http:// URL of its products"
    products: Annotated[str, Meta(pattern="^https?://", max_length=2_000)] | None = None


def connect(url: UpstreamUrl) -> Coinbase:
    """The upstream for a ``coinbase:`` URL. Raises ConfigError."""
    if url.scheme == "coinbase":
        silence = url.query(_CoinbaseQuery).silence
        url.reject_location("coinbase: or coinbase+wss://HOST/")
        return Coinbase(silence=silence, clock=url.clock)
    transport = url.scheme.removeprefix("coinbase+")
    if transport not in _TRANSPORTS:
        raise ConfigError(
            f"upstream {url.scheme}: has the unknown transport {transport!r}",
            hint="coinbase+ws://HOST:PORT/, or coinbase+wss://HOST/ with TLS",
        )
    try:
        named = url.parts.hostname and not url.parts.username and url.parts.port != 0
    except ValueError:
        named = False
    query = url.query(_CoinbaseLikeQuery)
    if not named:
        raise ConfigError(
            f"upstream {url.scheme}: needs a host, with an optional port and no user",
            hint="for example: coinbase+ws://127.0.0.1:9000/",
        )
    endpoint = url.parts._replace(scheme=transport, query="").geturl()
    return Coinbase(endpoint, products=query.products, silence=query.silence, clock=url.clock)
