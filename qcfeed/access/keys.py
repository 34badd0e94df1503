"""API keys: made here, kept as hashes, looked up by hash. No I/O.

A key has 256 random bits, so its plain SHA-256 cannot be reversed or guessed. Slow hashes (bcrypt, scrypt)
protect passwords that people choose, and would let strangers occupy the event loop here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from qcfeed.access.denial import DenialReason, Denied
from qcfeed.access.grants import EVERYTHING, Identity, Method, grant
from qcfeed.errors import ConfigError
from qcfeed.model.json_errors import JSON_ERRORS

PREFIX = "qcf_"
"""The beginning of every key, by which people, secret scanners and our own redaction recognize one."""
_RANDOM_BYTES = 32
_FORM = re.compile(r"qcf_[A-Za-z0-9_-]{43}")
MAX_KEYS = 10_000

KeyName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")]
KeyTime = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")]


class StoredKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as the file keeps it: everything except the key itself. Times are RFC 3339 UTC."""

    name: KeyName
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    symbols: list[str] = msgspec.field(default_factory=lambda: ["*"])
    created: KeyTime
    expires: KeyTime | None = None


class KeyDocument(
    msgspec.Struct, frozen=True, tag_field="schema", tag="qcfeed.keys/1", forbid_unknown_fields=True
):
    """The content of a file of keys."""

    keys: Annotated[list[StoredKey], Meta(max_length=MAX_KEYS)]


def generate() -> str:
    """A new key. Only its hash is stored."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def has_key_form(token: str) -> bool:
    """Whether ``token`` is formed like an API key."""
    return _FORM.fullmatch(token) is not None


def digest(token: str) -> str:
    """The hash under which a key is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def decode(raw: bytes) -> KeyDocument:
    """The content of a file of keys. Raises ConfigError, which does not say where the file is."""
    if not raw.strip():
        return KeyDocument([])
    try:
        document = msgspec.json.decode(raw, type=KeyDocument)
        Keys(document.keys)
    except (*JSON_ERRORS, ValueError) as error:
        raise ConfigError(f"it is not a file of keys: {error}") from error
    return document


def encode(document: KeyDocument) -> bytes:
    """The text of a file of keys."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def timestamp(text: str) -> float:
    """The Unix time of a ``KeyTime``. Raises ValueError for a date that does not exist."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


class Keys:
    """Keys by their hashes. Raises ValueError for a wrong pattern or date, and for a name or hash
    that occurs twice.
    """

    def __init__(self, stored: Iterable[StoredKey]) -> None:
        self._identities: dict[str, Identity] = {}
        names = set()
        for each in stored:
            if each.name in names or each.sha256 in self._identities:
                raise ValueError(f"the key {each.name!r} occurs twice")
            names.add(each.name)
            timestamp(each.created)
            self._identities[each.sha256] = Identity(
                each.name,
                Method.KEY,
                EVERYTHING if each.symbols == ["*"] else grant(each.symbols),
                None if each.expires is None else timestamp(each.expires),
                each.sha256,
            )

    def __len__(self) -> int:
        return len(self._identities)

    def has(self, key_id: str) -> bool:
        """Whether a key with this hash is stored."""
        return key_id in self._identities

    def identify(self, token: str, now: float) -> Identity:
        """The client whose key ``token`` is. ``now`` is Unix time. Raises Denied."""
        hashed = digest(token)
        return self._check(self._identities.get(hashed), hashed, now)

    def current(self, identity: Identity, now: float) -> Identity:
        """``identity`` as the current keys define it. Raises Denied if its key is gone."""
        return self._check(self._identities.get(identity.key_id), identity.key_id, now)

    def _check(self, found: Identity | None, hashed: str, now: float) -> Identity:
        # The time of the look-up says something about hashes at most, and nobody can choose the hash
        # of a key. The comparison that decides takes constant time.
        if found is None or not hmac.compare_digest(found.key_id, hashed):
            raise Denied(DenialReason.UNKNOWN_KEY, "the API key is not valid: unknown, or revoked")
        if found.ends_at is not None and now >= found.ends_at:
            raise Denied(DenialReason.EXPIRED, f"the API key {found.name} has expired")
        return found
