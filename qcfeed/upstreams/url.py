"""Parses ``--upstream`` URLs.

    sim:?rate=10&seed=7          quotes per second per symbol, or `max`; the seed of the prices
    replay:FILE?speed=2&loop=1   a recording; also `replay:///abs/file`; speed `max` or 0: unpaced
    coinbase:?silence=10         the public feed; seconds of silence after which it counts as lost
    coinbase+ws://HOST:PORT/     another server with the same protocol; coinbase+wss:// with TLS

As in any URL, a `?`, `%` or `#` in a file name must be percent-encoded.
"""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from qcfeed.errors import ConfigError
from qcfeed.upstreams.base import Upstream
from qcfeed.upstreams.coinbase import Coinbase
from qcfeed.upstreams.replay import Replay
from qcfeed.upstreams.simulator import Simulator

_RATE_MAX = 1_000_000.0


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
    return make(parts, Query(parts.query), clock)


class Query:
    """The query parameters of an upstream's URL. Call ``reject_unknown`` after reading all known ones."""

    def __init__(self, text: str) -> None:
        self._given: dict[str, str] = {}
        self._known: list[str] = []
        try:
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
        except ValueError as error:
            raise ConfigError(f"'?{text}' must be key=value&key=value: {error}") from error
        for key, value in pairs:
            if key in self._given:
                raise ConfigError(f"the upstream's URL gives {key!r} twice", hint="give it once")
            self._given[key] = value

    def number(
        self, key: str, default: float, *, minimum: float, maximum: float = math.inf
    ) -> float:
        """A finite number between ``minimum`` and ``maximum``."""
        text = self._get(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and minimum <= value <= maximum):
            bound = (
                f"from {minimum:g} to {maximum:g}"
                if maximum < math.inf
                else f"of at least {minimum:g}"
            )
            raise ConfigError(f"{key}={text} in the upstream's URL must be a number {bound}")
        return value

    def number_or_max(
        self, key: str, default: float, *, minimum: float, maximum: float
    ) -> float | None:
        """Like ``number``; None for ``max``."""
        if self._given.get(key) == "max":
            self._known.append(key)
            return None
        return self.number(key, default, minimum=minimum, maximum=maximum)

    def integer(self, key: str, default: int) -> int:
        """A whole number."""
        text = self._get(key)
        try:
            return default if text is None else int(text)
        except ValueError:
            raise ConfigError(
                f"{key}={text} in the upstream's URL must be a whole number"
            ) from None

    def flag(self, key: str) -> bool:
        """1 or 0."""
        text = self._get(key)
        if text not in (None, "0", "1"):
            raise ConfigError(f"{key}={text} in the upstream's URL must be 0 or 1")
        return text == "1"

    def reject_unknown(self) -> None:
        """Raise ConfigError if a parameter was given that has not been read."""
        for key in self._given.keys() - set(self._known):
            close = difflib.get_close_matches(key, self._known, n=1)
            known = ", ".join(self._known)
            raise ConfigError(
                f"unknown parameter {key!r} in the upstream's URL",
                hint=f"did you mean {close[0]!r}?" if close else f"known parameters: {known}",
            )

    def _get(self, key: str) -> str | None:
        self._known.append(key)
        return self._given.get(key)


def _simulator(parts: SplitResult, query: Query, clock: Callable[[], int]) -> Upstream:
    _reject_location(parts, "sim:?rate=10")
    rate = query.number_or_max("rate", 1.0, minimum=0.001, maximum=_RATE_MAX)
    seed = query.integer("seed", 0)
    query.reject_unknown()
    return Simulator(rate=rate, seed=seed, clock=clock)


def _replay(parts: SplitResult, query: Query, _clock: Callable[[], int]) -> Upstream:
    name = unquote(parts.path)
    if parts.netloc or not name:
        raise ConfigError(
            f"upstream replay: needs a file, not {parts.netloc + parts.path!r}",
            hint="replay:relative/file.jsonl.gz or replay:///absolute/file.jsonl.gz",
        )
    speed = query.number_or_max("speed", 1.0, minimum=0.0, maximum=1_000_000.0)
    loop = query.flag("loop")
    query.reject_unknown()
    return Replay(Path(name).expanduser(), speed=speed or None, loop=loop)


def _coinbase(parts: SplitResult, query: Query, clock: Callable[[], int]) -> Upstream:
    silence = query.number("silence", 10.0, minimum=0.1)
    query.reject_unknown()
    if parts.scheme == "coinbase":
        _reject_location(parts, "coinbase: or coinbase+wss://HOST/")
        return Coinbase(silence=silence, clock=clock)
    try:
        named = parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        named = False
    if not named:
        raise ConfigError(
            f"upstream {parts.scheme}: needs a host, with an optional port and no user",
            hint="for example: coinbase+ws://127.0.0.1:9000/",
        )
    endpoint = parts._replace(scheme=parts.scheme.removeprefix("coinbase+"), query="")
    return Coinbase(endpoint.geturl(), silence=silence, clock=clock)


def _reject_location(parts: SplitResult, example: str) -> None:
    if parts.netloc or parts.path:
        place = parts.netloc + parts.path
        raise ConfigError(
            f"upstream {parts.scheme}: does not accept {place!r}", hint=f"for example: {example}"
        )


_SCHEMES: dict[str, Callable[[SplitResult, Query, Callable[[], int]], Upstream]] = {
    "sim": _simulator,
    "replay": _replay,
    "coinbase": _coinbase,
    "coinbase+ws": _coinbase,
    "coinbase+wss": _coinbase,
}
_EXAMPLES = "one of sim:, replay:FILE, coinbase:, coinbase+ws://HOST:PORT/"
