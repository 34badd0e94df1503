"""Readers of what says who a subscriber is: keys, tokens and claims, and what proxies and browsers send."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac

import msgspec

from qcfeed.access import browser_origin, keys, proxy_protocol, signing_keys, trusted_proxies
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


def proxy_header(raw: bytes) -> None:
    """The header of the PROXY protocol, and every beginning of it, as the network may deliver it."""
    whole = proxy_protocol.parse(raw)
    for end in range(0, min(len(raw), proxy_protocol.MAX_V1), 7):
        proxy_protocol.parse(raw[:end])
    assert whole.size <= len(raw)


def forwarded(raw: bytes) -> None:
    """Lines of headers that a trusted proxy passes on."""
    pairs = (line.partition(b": ") for line in raw.split(b"\n"))
    headers = {name.lower(): value for name, _, value in pairs}
    _proxies().origin(("127.0.0.1", 1), headers)


@functools.cache
def _proxies() -> trusted_proxies.TrustedProxies:
    return trusted_proxies.TrustedProxies(trusted_proxies.parse_networks("127.0.0.0/8, ::1"))


def networks(raw: bytes) -> None:
    trusted_proxies.parse_networks(text_of(raw))


def browser(raw: bytes) -> None:
    """An Origin and a Host, as headers and as options."""
    origin, _, host = raw.decode("latin-1").partition("\n")
    allowed = browser_origin.parse_list(host)
    browser_origin.is_origin(origin)
    browser_origin.allows_origin(origin, host, "https", allowed)
    browser_origin.allows_host(host, allowed)
