"""A bearer token that an HTTP endpoint demands, from a file that is read again when it changes."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from qcfeed.errors import ConfigError
from qcfeed.server.watched_file import WatchedFile

_MAX_BYTES = 8_192


class TokenFile:
    """The token in ``path``, which the option ``named_by`` names. Raises ConfigError if the file cannot be used."""

    def __init__(self, path: str, named_by: str) -> None:
        self._token = b""
        self._file = WatchedFile(path, named_by, _MAX_BYTES, self._parse, lambda _content: True)
        self._file.load()

    @classmethod
    def of(cls, path: str | None, named_by: str) -> TokenFile | None:
        """None if no file is named."""
        return cls(path, named_by) if path else None

    async def accepts(self, authorization: str | None) -> bool:
        """Whether the header is ``Bearer <token>``, with the file as it is now. Compares in constant time."""
        await self._file.reload()
        scheme, _, given = (authorization or "").partition(" ")
        sent = given.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(sent, self._token)

    def _parse(self, content: bytes) -> Callable[[], None]:
        token = content.strip()
        if not token or not token.isascii() or not token.decode("ascii").isprintable():
            raise ConfigError(
                "it does not contain one line of text", hint="`openssl rand -hex 32` makes a token"
            )
        return lambda: self._use(token)

    def _use(self, token: bytes) -> None:
        self._token = token
