"""A JSON Web Key Set behind a URL: fetched at the start, periodically, and for a key that is not known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from qcfeed.access.signing_keys import MAX_BYTES, SigningKeys, from_key_set
from qcfeed.config.credentials import unsecret
from qcfeed.errors import ConfigError, QcfeedError
from qcfeed.formats import clipped
from qcfeed.upstreams import proxy

log = logging.getLogger("qcfeed.access")

TIMEOUT = 10.0
"""Seconds for one fetch, from the connection to the last byte."""
REFRESH = 300.0
"""Seconds between two fetches while every token's key is known, and the longest pause after a failure."""
MIN_PAUSE = 5.0
"""Seconds between two fetches at least: anybody can send a token with an unknown key ID, which causes one."""


class KeySetUrl:
    """Fetches the key set at ``url`` and passes its keys to ``use``. ``run`` does so until cancelled."""

    def __init__(self, url: str, use: Callable[[SigningKeys], None]) -> None:
        """Raises ConfigError for a URL that is neither https, nor http on this machine."""
        self._url = url
        self._shown = unsecret(url)
        self._use = use
        self._wanted = asyncio.Event()
        self._fetched_at: float | None = None
        self._failures = 0
        self.problem: str | None = None
        """Why the last fetch failed; None if it did not."""
        _check(url)

    def request(self) -> bool:
        """A token names a key that is not in the set; returns whether a new fetch may find it.

        False within MIN_PAUSE seconds of a fetch that succeeded: the set is up to date then.
        """
        recent = (
            self._fetched_at is not None
            and asyncio.get_running_loop().time() - self._fetched_at < MIN_PAUSE
        )
        if not recent:
            self._wanted.set()
        return not recent or self.problem is not None

    async def run(self) -> None:
        """Fetch now and again, until cancelled. A failure is logged, and the keys stay as they were."""
        while True:
            self._wanted.clear()
            await self._fetch()
            # Retries after failures: first soon, then with exponential backoff.
            pause = (
                min(REFRESH, MIN_PAUSE * 2 ** min(self._failures, 10)) if self.problem else REFRESH
            )
            await asyncio.sleep(MIN_PAUSE)
            try:
                async with asyncio.timeout(max(0.0, pause - MIN_PAUSE)):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _fetch(self) -> None:
        try:
            raw = await self._download()
            # In a thread: a hundred keys take some milliseconds.
            keys, left_out = await asyncio.to_thread(from_key_set, raw)
        except (QcfeedError, aiohttp.ClientError, OSError, ValueError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else clipped(str(error))
            self._failures += 1
            self.problem = f"cannot fetch the key set from {self._shown}: {unsecret(why)}"
            log.error("%s: the keys fetched before stay in use", self.problem)  # noqa: TRY400
            return
        finally:
            self._fetched_at = asyncio.get_running_loop().time()
        for each in left_out:
            log.debug("%s: %s, and is left out", self._shown, each)
        self._failures, self.problem = 0, None
        self._use(keys)

    async def _download(self) -> bytes:
        by = proxy.find(self._url)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # A redirect could lead anywhere, to an address inside this network too.
            session.get(
                self._url, proxy=by.url, proxy_headers=by.headers, allow_redirects=False
            ) as response,
        ):
            if response.status != 200:
                raise ConfigError(f"it answered {response.status}")
            body = bytearray()
            async for piece in response.content.iter_chunked(65_536):
                body += piece
                if len(body) > MAX_BYTES:
                    raise ConfigError(f"it has more than {MAX_BYTES:,} bytes")
            return bytes(body)


def is_url(text: str) -> bool:
    """Whether ``text`` names a URL and not a file."""
    return text.startswith(("http://", "https://"))


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"--jwt-jwks {unsecret(url)} is not a URL: {error}") from error
    local = host == "localhost" or host == "::1" or host.startswith("127.")
    if not host or (parts.scheme == "http" and not local):
        raise ConfigError(
            f"--jwt-jwks {unsecret(url)} must be https: whoever can change the answer on its way"
            " could sign tokens",
            hint="http is accepted for this machine only, for example http://127.0.0.1:8080/jwks",
        )
