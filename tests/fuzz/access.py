"""Readers of what authenticates a subscriber: files of keys, signing keys and key sets, tokens, claims."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac

import msgspec

from qcfeed.access import keys, signing_keys
from qcfeed.access.client_address import client_of
from qcfeed.access.denial import Denied
from qcfeed.access.tokens import TokenRules, TokenVerifier
from qcfeed.ws.credentials import checked
from tests.fuzz.target import text_of

SECRET = b"a secret of the tests, which is long enough"
NOW = 1_800_000_000.0
RULES = TokenRules(audience="qcfeed")


@functools.cache
def _verifier() -> TokenVerifier:
    return TokenVerifier(RULES, signing_keys.from_file(SECRET))


def keys_file(raw: bytes) -> None:
    document = keys.decode(raw)
    try:
        keys.Keys(document.keys).identify("x", NOW)
    except Denied:
        keys.encode(document)


def signing_key(raw: bytes) -> None:
    signing_keys.from_file(raw)


def key_set(raw: bytes) -> None:
    signing_keys.from_key_set(raw)


def token(raw: bytes) -> None:
    _verifier().verify(checked(text_of(raw)))


def claims(raw: bytes) -> None:
    """Whatever an issuer may sign."""
    head = _encoded(msgspec.json.encode({"alg": "HS256", "typ": "JWT"})) + b"." + _encoded(raw)
    signature = hmac.new(SECRET, head, hashlib.sha256).digest()
    text = (head + b"." + _encoded(signature)).decode()
    TokenVerifier(RULES, _verifier().keys).verify(text)


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def client_address(raw: bytes) -> None:
    client_of(text_of(raw))
