"""Operator, account and user of NATS as signed JWTs, and NKeys, as `nsc` makes them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import nkeys


class Key:
    """A new NKey of one kind."""

    def __init__(self, prefix: int) -> None:
        self.seed = bytes(nkeys.encode_seed(os.urandom(32), prefix)).decode()
        self._pair = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public = self._pair.public_key.decode()

    def sign(self, subject: str, name: str, nats: dict[str, Any], **claims: Any) -> str:
        """A JWT about ``subject``, issued by this key."""
        body = {"iat": int(time.time()), "iss": self.public, "sub": subject, "name": name}
        body |= claims | {"nats": nats | {"version": 2}}
        body["jti"] = base64.b32encode(hashlib.sha256(_compact(body)).digest()).decode().strip("=")
        head = _coded(_compact({"typ": "JWT", "alg": "ed25519-nkey"}))
        signed = f"{head}.{_coded(_compact(body))}"
        return f"{signed}.{_coded(self._pair.sign(signed.encode()))}"


def user_key() -> Key:
    return Key(nkeys.PREFIX_BYTE_USER)


class Operator:
    """An operator with one account, which may use JetStream."""

    def __init__(self) -> None:
        self._key = Key(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = Key(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = Key(nkeys.PREFIX_BYTE_ACCOUNT)  # JetStream needs one
        self._jwt = self._key.sign(self._key.public, "operator", {"type": "operator"})

    def configuration(self, *, revoked: str | None = None) -> str:
        """The server's configuration. ``revoked``: a user's public key that is accepted no longer."""
        plain = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
        limits = dict.fromkeys(plain, -1) | {"wildcards": True}
        system: dict[str, Any] = {"type": "account", "limits": limits}
        stores = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
        nats = system | {"limits": limits | stores}
        if revoked is not None:
            nats["revocations"] = {revoked: int(time.time()) + 1}
        accounts = (
            f"{key.public}: {self._key.sign(key.public, name, claims)}"
            for key, name, claims in (
                (self._account, "quotes", nats),
                (self._system, "SYS", system),
            )
        )
        return (
            f"operator: {self._jwt}\nsystem_account: {self._system.public}\nresolver: MEMORY\n"
            f"resolver_preload: {{ {', '.join(accounts)} }}\n"
        )

    def user(self, file: Path, key: Key, nats: dict[str, Any] | None = None, **claims: Any) -> Path:
        """Write a credentials file. ``nats``: permissions, as in the JWT."""
        limits = dict.fromkeys(("subs", "data", "payload"), -1)
        jwt = self._account.sign(
            key.public,
            "user",
            {"type": "user", "pub": {}, "sub": {}} | limits | (nats or {}),
            **claims,
        )
        file.touch(mode=0o600)
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{key.seed}\n------END USER NKEY SEED------\n"
        )
        return file


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _coded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
