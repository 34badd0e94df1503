"""Verifies JSON Web Tokens (RFC 7519) with PyJWT, and remembers those that it has verified. No I/O.

PyJWT compares signatures in constant time. It is imported on first use: only a service with JSON Web
Tokens needs it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qcfeed.access.denial import DenialReason, Denied
from qcfeed.access.grants import EVERYTHING, Identity, Method, SymbolGrant, grant
from qcfeed.access.signing_keys import EDDSA, HS256, RS256, SigningKeys
from qcfeed.errors import ConfigError

REMEMBERED = 4_096
"""Verified tokens that are not verified again until they expire, so that reconnecting clients are cheap."""
_MAX_NAME = 128
_LATEST = 253_402_300_799
"""The largest time of a claim: the end of the year 9999."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say. ``leeway``: seconds by which clocks may differ.

    ``symbols_claim``: the claim that lists symbols; empty: every token allows all.
    """

    audience: str | None = None
    issuer: str | None = None
    leeway: float = 10.0
    symbols_claim: str = "symbols"


def require_pyjwt() -> None:
    """Raises ConfigError unless PyJWT and its cryptography are installed."""
    try:
        import cryptography
        import jwt

        del cryptography, jwt
    except ImportError as error:
        raise ConfigError(
            f"JSON Web Tokens need a package that is not installed: {error.name}",
            hint="pip install 'qcfeed[jwt]'",
        ) from error


class TokenVerifier:
    """Verifies tokens with the current keys. Cost: 50 to 500 us for a new token, 2 us for a known one."""

    def __init__(self, rules: TokenRules, keys: SigningKeys) -> None:
        self._rules = rules
        self._keys = keys
        self._known: OrderedDict[bytes, Identity] = OrderedDict()

    @property
    def keys(self) -> SigningKeys:
        return self._keys

    def replace_keys(self, keys: SigningKeys) -> None:
        """Verify with ``keys`` from now on."""
        self._keys = keys
        self._known.clear()

    def known(self, token: str, now: float) -> Identity | None:
        """Whose token it is, if it was verified before. ``now`` is Unix time."""
        # Only hashes are remembered: a memory dump or a report must contain no token.
        hashed = _hash(token)
        known = self._known.get(hashed)
        if known is None or known.ends_at is None or now >= known.ends_at:
            return None
        self._known.move_to_end(hashed)
        return known

    def verify(self, token: str) -> Identity:
        """Verify a token that is not known, and remember it. Raises Denied."""
        identity = self._verify(token)
        self._known[_hash(token)] = identity
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return identity

    def _verify(self, token: str) -> Identity:
        import jwt

        kid, algorithm = _header(token)
        signing = self._keys.find(kid, algorithm)
        rules = self._rules
        try:
            claims = jwt.decode(
                token,
                signing.key,
                # The key's algorithm, not the one that the header names: a public key is no HMAC secret.
                algorithms=[signing.algorithm],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway,
                options={"require": ["exp"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise _denied(error) from error
        # The subject may be missing: `subscribers` then shows that the token has none.
        name = str(claims.get("sub") or "no subject")[:_MAX_NAME]
        return Identity(name, Method.JWT, self._grant(claims), _time(claims) + rules.leeway)

    def _grant(self, claims: Mapping[str, Any]) -> SymbolGrant:
        name = self._rules.symbols_claim
        if not name:
            return EVERYTHING
        listed = claims.get(name, [])
        if isinstance(listed, str):  # as OAuth writes its scopes
            listed = listed.replace(",", " ").split()
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise Denied(
                DenialReason.BAD_CLAIMS, f"the token's claim {name!r} is not a list of symbols"
            )
        try:
            return EVERYTHING if listed == ["*"] else grant(listed)
        except ValueError as error:
            raise Denied(DenialReason.BAD_CLAIMS, f"the token's claim {name!r}: {error}") from error


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _header(token: str) -> tuple[str | None, str]:
    """The ``kid`` and ``alg`` of a token's header. Raises Denied."""
    import jwt

    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise Denied(DenialReason.MALFORMED, "the token is not a JSON Web Token") from error
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in (HS256, RS256, EDDSA):
        raise Denied(DenialReason.WRONG_ALGORITHM, "the token's algorithm is not accepted")
    if "crit" in header:  # RFC 7515 section 4.1.11: nothing here understands an extension
        raise Denied(DenialReason.MALFORMED, "the token demands an extension that is not supported")
    return kid, algorithm


def _time(claims: Mapping[str, Any]) -> float:
    expires = claims["exp"]
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise Denied(DenialReason.BAD_CLAIMS, "the token's exp is not a number")
    return float(int(min(expires, _LATEST)))  # whole seconds, as PyJWT compares them


def _denied(error: Exception) -> Denied:
    """The refusal for an error of PyJWT. Its text is not used: it could repeat parts of the token."""
    import jwt

    for kind, reason, message in (
        (jwt.ExpiredSignatureError, DenialReason.EXPIRED, "the token has expired"),
        (jwt.ImmatureSignatureError, DenialReason.NOT_YET_VALID, "the token is not valid yet"),
        (
            jwt.InvalidAudienceError,
            DenialReason.WRONG_AUDIENCE,
            "the token is for another audience",
        ),
        (jwt.InvalidIssuerError, DenialReason.WRONG_ISSUER, "the token is from another issuer"),
        (jwt.MissingRequiredClaimError, DenialReason.BAD_CLAIMS, "the token lacks a claim"),
        (
            jwt.InvalidAlgorithmError,
            DenialReason.WRONG_ALGORITHM,
            "the token's algorithm is not accepted",
        ),
        (jwt.InvalidSignatureError, DenialReason.BAD_SIGNATURE, "the token's signature is wrong"),
        (jwt.InvalidTokenError, DenialReason.MALFORMED, "the token or a claim in it is malformed"),
    ):
        if isinstance(error, kind):
            if isinstance(error, jwt.MissingRequiredClaimError):
                message = f"the token has no {error.claim}"
            return Denied(reason, message)
    return Denied(DenialReason.MALFORMED, "the token cannot be verified")
