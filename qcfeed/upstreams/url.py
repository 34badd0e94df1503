"""Parses ``--upstream`` URLs.

    sim:?rate=10&seed=7          quotes per second per symbol, or `max`; the seed of the prices
    replay:FILE?speed=2&loop=1   a recording; also `replay:///abs/file`; speed `max` or 0: unpaced
    coinbase:?silence=10         the public feed; seconds of silence after which it counts as lost;
                                 reads the exchange's list of products, too
    coinbase+ws://HOST:PORT/     another server with the same protocol; coinbase+wss:// with TLS;
                                 products=http://HOST/products names the list of its products

As in any URL, a `?`, `%` or `#` in a file name must be percent-encoded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Meta

from qcfeed import files
from qcfeed.errors import ConfigError
from qcfeed.upstreams.base import Upstream
from qcfeed.upstreams.coinbase import Coinbase
from qcfeed.upstreams.replay import Replay
from qcfeed.upstreams.simulator import Simulator


def connect(url: str, *, clock: Callable[[], int] = time.time_ns) -> Upstream:
    """Create the upstream for ``url``. Only a file to replay is read at once; nothing is connected.

    ``clock`` returns Unix nanoseconds. Raises ConfigError for an invalid URL or recording.
    """
    try:
        parts = urlsplit(url, allow_fragments=False)
    except ValueError as error:
        raise ConfigError(f"upstream {url!r} is not a URL: {error}", hint=_EXAMPLES) from error
    make = _SCHEMES.get(parts.scheme)
    if make is None:
        problem = f"has the unknown scheme {parts.scheme!r}" if parts.scheme else "has no scheme"
        raise ConfigError(f"upstream {url!r} {problem}", hint=_EXAMPLES)
    return make(parts, clock)


class _SimulatorQuery(msgspec.Struct, forbid_unknown_fields=True):
    usage: ClassVar[str] = (
        "rate: quotes per second per symbol, from 0.001 to 1,000,000, or max; seed: a whole number"
    )
    rate: Annotated[float, Meta(ge=0.001, le=1_000_000)] | Literal["max"] = 1.0
    seed: int = 0


class _ReplayQuery(msgspec.Struct, forbid_unknown_fields=True):
    usage: ClassVar[str] = "speed: from 0 to 1,000,000, or max; loop: 0 or 1"
    speed: Annotated[float, Meta(ge=0, le=1_000_000)] | Literal["max"] = 1.0
    loop: bool = False


class _CoinbaseQuery(msgspec.Struct, forbid_unknown_fields=True):
    usage: ClassVar[str] = "silence: seconds, from 0.1 to 86,400"
    silence: Annotated[float, Meta(ge=0.1, le=86_400)] = 10.0


class _CoinbaseLikeQuery(_CoinbaseQuery, forbid_unknown_fields=True):
    usage: ClassVar[str] = f"{_CoinbaseQuery.usage}; products: the http:// URL of its products"
    products: Annotated[str, Meta(pattern="^https?://", max_length=2_000)] | None = None


_Query = TypeVar("_Query", _SimulatorQuery, _ReplayQuery, _CoinbaseQuery, _CoinbaseLikeQuery)


def _parse_query(text: str, kind: type[_Query]) -> _Query:
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    except ValueError as error:
        raise ConfigError(f"'?{text}' must be key=value&key=value: {error}") from error
    for key, value in pairs:
        if key in given:
            raise ConfigError(f"the upstream's URL gives {key!r} twice", hint="give it once")
        given[key] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"'?{text}' in the upstream's URL is invalid: {error}", hint=kind.usage
        ) from error


def _unless_max(value: float | Literal["max"]) -> float | None:
    return None if value == "max" else value


def _simulator(parts: SplitResult, clock: Callable[[], int]) -> Upstream:
    _reject_location(parts, "sim:?rate=10")
    query = _parse_query(parts.query, _SimulatorQuery)
    return Simulator(rate=_unless_max(query.rate), seed=query.seed, clock=clock)


def _replay(parts: SplitResult, _clock: Callable[[], int]) -> Upstream:
    name = unquote(parts.path)
    if parts.netloc or not name:
        raise ConfigError(
            f"upstream replay: needs a file, not {parts.netloc + parts.path!r}",
            hint="replay:relative/file.jsonl.gz or replay:///absolute/file.jsonl.gz",
        )
    query = _parse_query(parts.query, _ReplayQuery)
    speed = _unless_max(query.speed) or None
    try:
        path = files.expand(name)
    except OSError as error:
        raise ConfigError(f"upstream replay:{name}: {error.strerror}") from error
    return Replay(path, speed=speed, loop=query.loop)


def _coinbase(parts: SplitResult, clock: Callable[[], int]) -> Upstream:
    if parts.scheme == "coinbase":
        silence = _parse_query(parts.query, _CoinbaseQuery).silence
        _reject_location(parts, "coinbase: or coinbase+wss://HOST/")
        return Coinbase(silence=silence, clock=clock)
    try:
        named = parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        named = False
    query = _parse_query(parts.query, _CoinbaseLikeQuery)
    if not named:
        raise ConfigError(
            f"upstream {parts.scheme}: needs a host, with an optional port and no user",
            hint="for example: coinbase+ws://127.0.0.1:9000/",
        )
    endpoint = parts._replace(scheme=parts.scheme.removeprefix("coinbase+"), query="")
    return Coinbase(endpoint.geturl(), products=query.products, silence=query.silence, clock=clock)


def _reject_location(parts: SplitResult, example: str) -> None:
    if parts.netloc or parts.path:
        place = parts.netloc + parts.path
        raise ConfigError(
            f"upstream {parts.scheme}: does not accept {place!r}", hint=f"for example: {example}"
        )


_SCHEMES: dict[str, Callable[[SplitResult, Callable[[], int]], Upstream]] = {
    "sim": _simulator,
    "replay": _replay,
    "coinbase": _coinbase,
    "coinbase+ws": _coinbase,
    "coinbase+wss": _coinbase,
}
_EXAMPLES = "one of sim:, replay:FILE, coinbase:, coinbase+ws://HOST:PORT/"
