"""Why a token was refused. The reasons are labels of a metric, so there are few and they are fixed."""

from __future__ import annotations

from enum import StrEnum


class DenialReason(StrEnum):
    """Why an authentication or a subscription was refused."""

    MISSING = "missing"
    """No token was sent."""
    MALFORMED = "malformed"
    """It has the form neither of an API key nor of a JSON Web Token."""
    SENT_TWICE = "sent_twice"
    """The token was sent more than once, for example in the header and in the query."""
    UNKNOWN_KEY = "unknown_key"
    """An API key that the file does not have, or no longer has."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    BAD_SIGNATURE = "bad_signature"
    WRONG_ALGORITHM = "wrong_algorithm"
    """The token names another algorithm than its key is for, ``none`` included."""
    UNKNOWN_SIGNING_KEY = "unknown_signing_key"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    BAD_CLAIMS = "bad_claims"
    """A claim is missing or has the wrong type."""
    UNAVAILABLE = "keys_unavailable"
    """The keys to verify it with could not be fetched yet; the client may try again."""
    SYMBOL = "symbol_not_allowed"
    """The token is valid, but does not allow the symbol."""
    TIMEOUT = "timeout"
    """A connection to /stream did not authenticate in time."""


class Denied(Exception):  # noqa: N818 - a decision, which every caller handles, and no error of qcfeed
    """A token was refused. ``message`` is for the client, and never contains the token."""

    def __init__(self, reason: DenialReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
