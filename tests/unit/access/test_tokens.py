"""JSON Web Tokens: what is accepted, and every way to be refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access import signing_keys, tokens
from qcfeed.access.denial import DenialReason, Denied
from qcfeed.access.signing_keys import SigningKeys, from_file, from_key_set
from qcfeed.access.tokens import TokenRules, TokenVerifier
from qcfeed.errors import ConfigError
from tests.support.access import b64, ed25519_key, jwk, key_set, pem, rsa_key, sign, token

RSA, ED25519, SECRET = rsa_key(), ed25519_key(), b"a secret of at least thirty-two bytes"
KEYS = {"RS256": RSA, "EdDSA": ED25519, "HS256": SECRET}
FILES = {"RS256": pem(RSA), "EdDSA": pem(ED25519), "HS256": SECRET}
RULES = TokenRules(leeway=0)


def verifier(keys: SigningKeys | None = None, **rules: Any) -> TokenVerifier:
    return TokenVerifier(TokenRules(**{"leeway": 0} | rules), keys or from_file(FILES["RS256"]))


def reason(text: str, of: TokenVerifier) -> DenialReason:
    with pytest.raises(Denied) as denied:
        of.verify(text)
    assert not text or text not in denied.value.message
    return denied.value.reason


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_names_its_subject_its_symbols_and_its_end(algorithm: str) -> None:
    end = int(time.time()) + 100
    text = token(KEYS[algorithm], {"exp": end, "symbols": ["AAPL", "BTC-*"]})
    found = verifier(from_file(FILES[algorithm]), leeway=7).verify(text)
    assert (found.name, found.method, found.ends_at) == ("reader", "jwt", end + 7)
    assert found.symbols.patterns == ("AAPL", "BTC-*")


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1}, DenialReason.EXPIRED),
        ({"exp": None}, DenialReason.BAD_CLAIMS),
        ({"exp": "soon"}, DenialReason.MALFORMED),
        ({"exp": str(10**12)}, DenialReason.BAD_CLAIMS),
        ({"exp": True}, DenialReason.EXPIRED),
        ({"nbf": 10**12}, DenialReason.NOT_YET_VALID),
        ({"iat": 10**12}, DenialReason.NOT_YET_VALID),
        ({"aud": "others"}, DenialReason.WRONG_AUDIENCE),
        ({"aud": None}, DenialReason.BAD_CLAIMS),
        ({"iss": "https://evil.example"}, DenialReason.WRONG_ISSUER),
        ({"iss": None}, DenialReason.BAD_CLAIMS),
        ({"symbols": 7}, DenialReason.BAD_CLAIMS),
        ({"symbols": [7]}, DenialReason.BAD_CLAIMS),
        ({"symbols": ["A B"]}, DenialReason.BAD_CLAIMS),
        ({"sub": 7}, DenialReason.MALFORMED),
    ],
)
def test_each_claim_is_checked(claims: dict[str, Any], why: DenialReason) -> None:
    given = {"aud": "qcfeed", "iss": "https://issuer.example"}
    by = verifier(audience="qcfeed", issuer="https://issuer.example")
    assert by.verify(token(RSA, given)).name == "reader"
    assert reason(token(RSA, given | claims), by) is why


def test_a_token_for_somebody_else_is_refused_even_if_no_audience_is_configured() -> None:
    assert reason(token(RSA, {"aud": "others"}), verifier()) is DenialReason.WRONG_AUDIENCE


@pytest.mark.parametrize(
    ("claim", "allowed"),
    [
        (None, ()),
        ("AAPL BTC-*", ("AAPL", "BTC-*")),
        ("AAPL,MSFT", ("AAPL", "MSFT")),
        (["*"], ("*",)),
    ],
)
def test_a_token_without_symbols_allows_none(claim: Any, allowed: tuple[str, ...]) -> None:
    found = verifier().verify(token(RSA, {"symbols": claim}))
    assert found.symbols.patterns == allowed


def test_another_claim_or_none_may_list_the_symbols() -> None:
    text = token(RSA, {"symbols": None, "scope": "AAPL"})
    assert verifier(symbols_claim="scope").verify(text).symbols.patterns == ("AAPL",)
    assert verifier(symbols_claim="").verify(text).symbols.patterns == ("*",)


# ---------------------------------------------------------------- forgeries


def forged(algorithm: str, signature: bytes, claims: dict[str, Any] | None = None) -> str:
    said = {"sub": "me", "exp": int(time.time()) + 60, "symbols": ["*"]} | (claims or {})
    return ".".join(
        (
            b64(json.dumps({"alg": algorithm}).encode()),
            b64(json.dumps(said).encode()),
            b64(signature),
        )
    )


@pytest.mark.parametrize("none", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("algorithm", KEYS)
def test_an_unsigned_token_is_refused(none: str, algorithm: str) -> None:
    assert (
        reason(forged(none, b""), verifier(from_file(FILES[algorithm])))
        is DenialReason.WRONG_ALGORITHM
    )


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_the_public_key_is_no_secret_for_hs256(algorithm: str) -> None:
    """The known attack: sign with HMAC and the text of the public key, which everybody has."""
    public = FILES[algorithm]
    for secret in (
        public,
        public.strip(),
        public.strip() + b"\n",
        b"".join(public.split(b"\n")[1:-2]),
    ):
        text = token(secret)
        assert reason(text, verifier(from_file(public))) is DenialReason.WRONG_ALGORITHM
        of_set = from_key_set(key_set(jwk(KEYS[algorithm], "a")))[0]  # type: ignore[arg-type]
        assert (
            reason(token(secret, header={"kid": "a"}), verifier(of_set))
            is DenialReason.WRONG_ALGORITHM
        )


@pytest.mark.parametrize(
    "algorithm", ["HS384", "HS512", "RS384", "PS256", "ES256", "x", 7, None, []]
)
def test_an_algorithm_that_is_not_the_keys_own_is_refused(algorithm: Any) -> None:
    text = token(RSA, header={"alg": algorithm})
    assert reason(text, verifier()) in (DenialReason.WRONG_ALGORITHM, DenialReason.MALFORMED)


@pytest.mark.parametrize("algorithm", KEYS)
def test_another_key_or_a_changed_token_is_refused(algorithm: str) -> None:
    by = verifier(from_file(FILES[algorithm]))
    other = {"RS256": rsa_key(), "EdDSA": ed25519_key(), "HS256": SECRET[::-1]}[algorithm]
    assert reason(token(other), by) is DenialReason.BAD_SIGNATURE
    head, _, signature = token(KEYS[algorithm]).split(".")
    changed = b64(json.dumps({"sub": "admin", "exp": 10**12}).encode())
    assert reason(f"{head}.{changed}.{signature}", by) is DenialReason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "text", ["", ".", "..", "...", "a.b.c", "ey", "\x00", "{}", b64(b"{}") + "." + b64(b"{}") + "."]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert reason(text, verifier()) in (DenialReason.MALFORMED, DenialReason.WRONG_ALGORITHM)


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_no_header_or_payload_causes_another_error(head: bytes, payload: bytes) -> None:
    """Also where the signature is right: an issuer may be wrong too."""
    by = verifier(from_file(SECRET))
    signed = f"{b64(head)}.{b64(payload)}"
    reason(f"{signed}.{b64(sign(SECRET, signed.encode()))}", by)
    reason(token(SECRET, payload=payload), by)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 5_000,
        b'{"exp":1e999}',
        b'{"exp":NaN}',
        b'{"exp":' + b"9" * 5_000 + b"}",
        b"[]",
        b"7",
        b'"',
    ],
)
def test_a_signed_payload_that_is_no_object_of_claims_is_refused(payload: bytes) -> None:
    assert reason(token(SECRET, payload=payload), verifier(from_file(SECRET)))


def test_a_token_that_demands_an_extension_is_refused() -> None:
    text = token(RSA, header={"crit": ["x"], "x": 1})
    assert reason(text, verifier()) is DenialReason.MALFORMED


# ---------------------------------------------------------------- key sets


def test_the_key_of_a_set_is_found_by_its_number() -> None:
    other = rsa_key()
    held = from_key_set(key_set(jwk(RSA, "old"), jwk(other, "new"), jwk(ED25519, "ed")))[0]
    by = verifier(held)
    assert by.verify(token(RSA, header={"kid": "old"}))
    assert by.verify(token(other, header={"kid": "new"}))
    assert by.verify(token(ED25519, header={"kid": "ed"}))
    assert by.verify(token(ED25519)), "the only one of its algorithm needs no number"
    assert reason(token(RSA, header={"kid": "new"}), by) is DenialReason.BAD_SIGNATURE
    assert reason(token(RSA, header={"kid": "ed"}), by) is DenialReason.WRONG_ALGORITHM
    assert reason(token(RSA, header={"kid": "next"}), by) is DenialReason.UNKNOWN_SIGNING_KEY
    assert reason(token(RSA), by) is DenialReason.UNKNOWN_SIGNING_KEY, (
        "there are two of its algorithm"
    )
    assert reason(token(RSA, header={"kid": 7}), by) is DenialReason.MALFORMED


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (jwk(RSA, "b", use="enc"), "not for signatures"),
        (jwk(RSA, "b", key_ops=["encrypt"]), "not for signatures"),
        (jwk(RSA, "b", key_ops=7), "not for signatures"),
        (jwk(RSA, "b", alg="RS512"), "its algorithm"),
        (jwk(RSA, "b", d="AQAB"), "private key"),
        (jwk(RSA, "b") | {"n": "!"}, "invalid"),
        (jwk(RSA, "b") | {"n": None}, "invalid"),
        (jwk(RSA, 7), "kid"),  # type: ignore[arg-type]
        (jwk(RSA, "a"), "the same kid"),
        (jwk(rsa_key(1024), "b"), "1024"),
        ({"kty": "oct", "k": b64(SECRET), "kid": "b"}, "oct"),
        ({"kty": "EC", "crv": "P-256", "kid": "b"}, "EC"),
        ({"kty": [], "crv": {}}, "type"),
        (None, "object"),
        ("x", "object"),
    ],
)
def test_a_key_of_a_set_that_is_not_usable_is_left_out_with_the_reason(
    entry: Any, why: str
) -> None:
    held, left_out = from_key_set(key_set(jwk(ED25519, "a"), entry))
    assert len(held) == 1
    assert len(left_out) == 1
    assert why in left_out[0]


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"{}", b'{"keys":null}', b'{"keys":{}}', b'{"keys":[]}', b"[" * 100_000,
        b'{"keys":[' + b",".join([b"{}"] * 101) + b"]}", b'{"keys":[{"kty":"oct"}]}', b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_key_set_is_one_clear_error(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        from_key_set(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"short", "at least 32 bytes"),
        (b"ssh-rsa AAAAB3NzaC1yc2E" + b"A" * 40, "neither"),
        (key_set(jwk(RSA, "a")), "neither"),
        (pem(rsa_key(1024)), "1024"),
        (b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "private key"),
        (b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----", "not a public key"),
        (b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "not a public key"),
    ],
)
def test_a_file_that_has_no_key_is_one_clear_error(raw: bytes, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        from_file(raw)


# ---------------------------------------------------------------- the cache


def test_a_verified_token_is_remembered_until_it_expires_and_not_beyond_a_change_of_keys() -> None:
    by = verifier()
    now = int(time.time())
    text = token(RSA, {"exp": now + 60})
    assert by.known(text, now) is None
    found = by.verify(text)
    assert by.known(text, now) is found
    assert by.known(text + "x", now) is None
    assert by.known(text, now + 60) is None
    by.replace_keys(from_file(pem(rsa_key())))
    assert by.known(text, now) is None
    assert reason(text, by) is DenialReason.BAD_SIGNATURE


def test_the_number_of_remembered_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED", 2)
    by = verifier(from_file(SECRET))
    texts = [token(SECRET, {"sub": f"r{n}"}) for n in range(3)]
    for each in texts:
        by.verify(each)
    assert [by.known(each, 0) is None for each in texts] == [True, False, False]


def test_only_a_public_key_may_be_readable_for_everybody() -> None:
    assert not signing_keys.is_secret(FILES["RS256"])
    assert signing_keys.is_secret(SECRET)
