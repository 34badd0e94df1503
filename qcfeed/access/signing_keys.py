"""The keys that verify JSON Web Tokens, read from a file or a JSON Web Key Set (RFC 7517). No I/O.

A key has exactly one algorithm, which follows from its type and never from a token: otherwise a token
could name HS256 and be signed with the text of a public key, which everybody has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from qcfeed.access.denial import DenialReason, Denied
from qcfeed.errors import ConfigError
from qcfeed.formats import clipped

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    Verifier = bytes | RSAPublicKey | Ed25519PublicKey

HS256, RS256, EDDSA = "HS256", "RS256", "EdDSA"
MIN_SECRET = 32
"""The fewest bytes of a secret for HS256 (RFC 7518 section 3.2)."""
MIN_RSA, MAX_RSA = 2_048, 8_192
"""Bits of an RSA key: weaker ones can be forged, and with longer ones a check takes too long."""
MAX_KEYS = 100
MAX_BYTES = 262_144
"""The most bytes of a file of keys or a key set."""


class SigningKey(NamedTuple):
    """A key, its number in a key set if it has one, and its algorithm."""

    kid: str | None
    algorithm: str
    key: Verifier


class SigningKeys:
    """Finds the key for a token."""

    def __init__(self, keys: Iterable[SigningKey], *, named: bool) -> None:
        """``named``: the keys are those of a set, whose tokens name theirs (``kid``)."""
        self._keys = tuple(keys)
        self._named = named
        self.algorithms = frozenset(each.algorithm for each in self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> SigningKey:
        """The key that verifies a token whose header says so. Raises Denied."""
        fitting = [each for each in self._keys if each.algorithm == algorithm]
        if self._named and kid is not None:
            of_name = [each for each in self._keys if each.kid == kid]
            if not of_name:
                raise Denied(
                    DenialReason.UNKNOWN_SIGNING_KEY, "the token's signing key is not known"
                )
            fitting = [each for each in fitting if each.kid == kid]
        if not fitting:
            raise Denied(
                DenialReason.WRONG_ALGORITHM, "the token's algorithm is not that of its key"
            )
        if len(fitting) > 1:
            raise Denied(
                DenialReason.UNKNOWN_SIGNING_KEY, "the token does not name its signing key (kid)"
            )
        return fitting[0]


def from_file(raw: bytes) -> SigningKeys:
    """The one key of a file: a public key in PEM (RSA, Ed25519), or else a secret for HS256.

    Raises ConfigError, which does not repeat the content.
    """
    text = raw.strip()
    if b"-----BEGIN" in text:
        key = _public_key(text)
        return SigningKeys([SigningKey(None, _algorithm(key), key)], named=False)
    if text.startswith((b"ssh-", b"{", b"ecdsa-")):
        raise ConfigError(
            "it is neither a public key in PEM nor a secret",
            hint="a key set in JSON goes with --jwt-jwks; `ssh-keygen -e -m PKCS8 -f KEY` makes PEM",
        )
    if len(text) < MIN_SECRET:
        raise ConfigError(
            f"a secret for HS256 has at least {MIN_SECRET} bytes, this one {len(text)}",
            hint="`openssl rand -base64 48` makes one",
        )
    return SigningKeys([SigningKey(None, HS256, text)], named=False)


def is_secret(raw: bytes) -> bool:
    """Whether the content of a key's file must stay secret."""
    return b"-----BEGIN PUBLIC KEY" not in raw


def from_key_set(raw: bytes) -> tuple[SigningKeys, list[str]]:
    """The keys of a key set that verify RS256 or EdDSA, and why each other one is left out.

    Raises ConfigError if it is not a key set, or has no such key.
    """
    try:
        entries = json.loads(raw)["keys"]
        if not isinstance(entries, list) or len(entries) > MAX_KEYS:
            raise ValueError(f'"keys" must be a list of at most {MAX_KEYS}')  # noqa: TRY301
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"it is not a JSON Web Key Set: {clipped(error)}") from error
    found: list[SigningKey] = []
    left_out: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(_key_set_entry(entry, found))
        except ConfigError as error:
            left_out.append(f"key {number}: {error.message}")
    if not found:
        raise ConfigError("; ".join(["it has no key for RS256 or EdDSA", *left_out[:3]]))
    return SigningKeys(found, named=True), left_out


def _key_set_entry(entry: Any, earlier: Iterable[SigningKey]) -> SigningKey:
    from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

    if not isinstance(entry, dict):
        raise ConfigError("it is not an object")
    kind, operations = entry.get("kty"), entry.get("key_ops", ["verify"])
    read: Callable[[Any], Any]
    if kind == "RSA":
        read = RSAAlgorithm.from_jwk
    elif kind == "OKP" and entry.get("crv") == "Ed25519":
        read = OKPAlgorithm.from_jwk
    else:
        raise ConfigError(f"its type is {clipped(repr(kind))}, not RSA or OKP with Ed25519")
    for_signatures = isinstance(operations, list) and "verify" in operations
    if entry.get("use", "sig") != "sig" or not for_signatures:
        raise ConfigError("it is not for signatures")
    if "d" in entry:
        raise ConfigError("it is a private key, which only the issuer may have")
    try:
        key: Any = read(entry)
    except Exception as error:  # the libraries raise several kinds for the values of strangers
        raise ConfigError(f"it is invalid: {clipped(type(error).__name__)}") from error
    algorithm, kid = _algorithm(key), entry.get("kid")
    if entry.get("alg", algorithm) != algorithm:
        raise ConfigError(f"its algorithm is {clipped(repr(entry['alg']))}, not {algorithm}")
    if kid is not None and not isinstance(kid, str):
        raise ConfigError("its kid is not a text")
    if kid is not None and any(each.kid == kid for each in earlier):
        raise ConfigError("another key has the same kid")
    return SigningKey(kid, algorithm, key)


def _public_key(pem: bytes) -> Verifier:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in pem:
        raise ConfigError(
            "it is a private key, which only the issuer may have",
            hint="`openssl pkey -in KEY -pubout` prints the public one",
        )
    try:
        return load_pem_public_key(pem)  # type: ignore[return-value]  # ``_algorithm`` checks it
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "it is not a public key in PEM",
            hint="of a certificate, `openssl x509 -in CERT -pubkey -noout` prints it",
        ) from error


def _algorithm(key: Any) -> str:
    """The algorithm of a public key. Raises ConfigError for a kind or a size that is not accepted."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, Ed25519PublicKey):
        return EDDSA
    if not isinstance(key, RSAPublicKey):
        raise ConfigError("it is neither an RSA nor an Ed25519 public key")
    if not MIN_RSA <= key.key_size <= MAX_RSA:
        raise ConfigError(f"an RSA key has {MIN_RSA} to {MAX_RSA} bits, this one {key.key_size}")
    return RS256
