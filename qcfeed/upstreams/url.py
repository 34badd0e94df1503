"""The ``--upstream`` URL as an upstream receives it: its parts, its checked query, and the clock.

As in any URL, a `?`, `%` or `#` in a file name must be percent-encoded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl

import msgspec

from qcfeed.errors import ConfigError

Query = TypeVar("Query", bound=msgspec.Struct)
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class UpstreamUrl:
    """What ``--upstream`` says. ``clock`` returns Unix nanoseconds; use it for timestamps of your own."""

    text: str
    parts: SplitResult
    clock: Callable[[], int] = time.time_ns
    groups: Sequence[object] = ()
    """The configured groups of options that upstreams may use; ``group`` finds one."""

    @property
    def scheme(self) -> str:
        return self.parts.scheme

    def group(self, kind: type[Group]) -> Group:
        """A group of options, such as NatsConfig, as configured; with its defaults if it is not."""
        return next((each for each in self.groups if isinstance(each, kind)), None) or kind()

    def query(self, kind: type[Query]) -> Query:
        """The query, converted to a struct. Declare it with ``forbid_unknown_fields=True``.

        A class variable ``usage`` of the struct is the hint of the error. Raises ConfigError.
        """
        text = self.parts.query
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
                f"'?{text}' in the upstream's URL is invalid: {error}",
                hint=getattr(kind, "usage", None),
            ) from error

    def reject_location(self, example: str) -> None:
        """Raise ConfigError if anything is between the scheme and the query. ``example``: a valid URL."""
        if self.parts.netloc or self.parts.path:
            place = self.parts.netloc + self.parts.path
            raise ConfigError(
                f"upstream {self.scheme}: does not accept {place!r}", hint=f"for example: {example}"
            )
