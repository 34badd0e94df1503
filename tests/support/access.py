"""Keys and tokens for tests: files of API keys, signing keys, and JSON Web Tokens made by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from qcfeed import rfc3339
from qcfeed.access import keys
from qcfeed.access.keys import KeyDocument, StoredKey

Private = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | bytes


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


def ed25519_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """The public key, as a file has it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def stored(name: str, token: str, *symbols: str, expires: float | None = None) -> StoredKey:
    return StoredKey(
        name=name,
        sha256=keys.digest(token),
        symbols=list(symbols) or ["*"],
        created="2024-03-20T02:15:00Z",
        expires=None if expires is None else rfc3339.seconds(expires),
    )


def write(path: Path, content: bytes) -> None:
    """Replace ``path`` as a program does that writes atomically."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    fresh.rename(path)
    # The kernel's clock for files ticks every few milliseconds: two versions may have the same time,
    # and sometimes the same number and size too.
    os.utime(path, ns=(time.time_ns(), time.time_ns()))


def write_keys(path: Path, entries: Sequence[StoredKey]) -> None:
    write(path, keys.encode(KeyDocument(list(entries))))


# ---------------------------------------------------------------- JSON Web Tokens, as RFC 7515 spells them


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(
    key: Private,
    claims: dict[str, Any] | None = None,
    *,
    header: dict[str, Any] | None = None,
    payload: bytes | None = None,
) -> str:
    """A signed token: for ``reader``, all symbols and an hour, except for what ``claims`` says."""
    algorithm = (
        "HS256"
        if isinstance(key, bytes)
        else "RS256"
        if isinstance(key, rsa.RSAPrivateKey)
        else "EdDSA"
    )
    said = {"sub": "reader", "exp": int(time.time()) + 3600, "symbols": ["*"]} | (claims or {})
    said = {name: value for name, value in said.items() if value is not None}
    head = {"alg": algorithm, "typ": "JWT"} | (header or {})
    raw = json.dumps(said).encode() if payload is None else payload
    signed = f"{b64(json.dumps(head).encode())}.{b64(raw)}"
    return f"{signed}.{b64(sign(key, signed.encode()))}"


def sign(key: Private, data: bytes) -> bytes:
    if isinstance(key, bytes):
        return hmac.new(key, data, hashlib.sha256).digest()
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), SHA256())
    return key.sign(data)


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, kid: str | None, **more: Any
) -> dict[str, Any]:
    """The public key as an entry of a key set (RFC 7517)."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        found = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    else:
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        found = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return found | ({} if kid is None else {"kid": kid}) | more


def key_set(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": entries}).encode()
