"""The token of a request head: in its Authorization header or its query (RFC 6750 section 2)."""

from __future__ import annotations

from urllib.parse import parse_qsl

from qcfeed.access.denial import DenialReason, Denied
from qcfeed.ws.request_head import Head

MAX_TOKEN = 8_192
"""The most characters of a token."""


def token_of(head: Head) -> str | None:
    """The token that ``head`` presents; None if it presents none. Raises Denied if it presents several.

    A scheme other than Bearer counts as no token: a proxy with a password of its own may pass that on.
    """
    scheme, _, value = head.headers.get(b"authorization", b"").partition(b" ")
    found = [value.strip(b" ").decode("latin-1")] if scheme.lower() == b"bearer" else []
    if b"access_token" in head.query:
        pairs = parse_qsl(head.query.decode("latin-1"), keep_blank_values=True)
        found += [value for name, value in pairs if name == "access_token"]
    if not found:
        return None
    if len(found) > 1:
        raise Denied(
            DenialReason.SENT_TWICE, "the token is sent more than once; send it in one place"
        )
    return checked(found[0])


def checked(token: str) -> str:
    """``token``. Raises Denied for one that cannot be valid."""
    if not token or len(token) > MAX_TOKEN or not (token.isascii() and token.isprintable()):
        raise Denied(DenialReason.MALFORMED, "the token is empty, too long or not printable ASCII")
    return token
