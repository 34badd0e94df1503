"""Authenticates subscribers with the keys and tokens that the options name, and follows their changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from qcfeed import rfc3339
from qcfeed.access import signing_keys
from qcfeed.access.denial import DenialReason, Denied
from qcfeed.access.grants import Identity, Method
from qcfeed.access.keys import (
    Keys,
    StoredKey,
    decode,
    digest,
    generate,
    has_key_form,
)
from qcfeed.access.rate_limit import TokenBucket
from qcfeed.access.session import Session
from qcfeed.access.signing_keys import SigningKeys
from qcfeed.access.tokens import TokenRules, TokenVerifier, require_pyjwt
from qcfeed.config import Config
from qcfeed.server.key_set_url import KeySetUrl, is_url
from qcfeed.server.watched_file import WatchedFile

log = logging.getLogger("qcfeed.access")

AUTHENTICATE_WITHIN = 5.0
"""Seconds within which a connection to /stream without a token must send one."""
RELOAD_EVERY = 1.0
"""Seconds between two checks of the files."""
CHECK_SHARE, CHECK_BURST = 0.2, 0.2
"""The share of the loop's time in which signatures are verified, and the seconds that may come at once. Beyond
it, new tokens are refused with "try again"; API keys and known tokens are not affected."""
MAX_FILE = 8 * 2**20
"""The most bytes of a file of API keys."""


class Authenticator:
    """Identifies clients by their keys and tokens. Call it in the service's loop.

    ``revision`` rises with every change of the API keys: sessions of an earlier revision are checked
    again. ``refused`` and ``accepted`` count by reason and by method.
    """

    def __init__(self, config: Config, wall: Callable[[], float] = time.time) -> None:
        """Reads all files. Raises ConfigError if one of them cannot be used."""
        self.wall = wall
        """The Unix time, by which keys and tokens expire."""
        self._keys: Keys | None = None
        self._lent = Keys([])
        self._tokens: TokenVerifier | None = None
        self._files: list[WatchedFile] = []
        self._key_set: KeySetUrl | None = None
        self._running: list[asyncio.Task[None]] = []
        self._clock = time.perf_counter
        self._checks = TokenBucket(CHECK_SHARE, CHECK_BURST, self._clock())
        """Seconds of verifying, and not tokens, so that slow machines and long keys are bounded too."""
        self.revision = 0
        self.refused: Counter[DenialReason] = Counter()
        self.accepted: Counter[Method] = Counter()
        if config.keys is not None:
            self._keys = Keys([])
            self._files.append(WatchedFile(config.keys, "--keys", MAX_FILE, self._read_keys))
        if config.jwt_key is not None or config.jwt_jwks is not None:
            self._prepare_tokens(config)
        for each in self._files:
            each.load()

    def _prepare_tokens(self, config: Config) -> None:
        require_pyjwt()
        most = signing_keys.MAX_BYTES
        rules = TokenRules(
            config.jwt_audience, config.jwt_issuer, config.jwt_leeway, config.jwt_symbols_claim
        )
        if config.jwt_audience is None and config.jwt_jwks is not None:
            log.warning(
                "--jwt-audience is not given: tokens that name no audience are accepted, whatever program"
                " the issuer made them for"
            )
        self._tokens = TokenVerifier(rules, SigningKeys([], named=True))
        if config.jwt_key is not None:
            private = signing_keys.is_secret
            self._files.append(
                WatchedFile(config.jwt_key, "--jwt-key", most, self._read_key, private)
            )
        elif config.jwt_jwks is not None and is_url(config.jwt_jwks):
            self._key_set = KeySetUrl(config.jwt_jwks, self._tokens.replace_keys)
        elif config.jwt_jwks is not None:
            self._files.append(WatchedFile(config.jwt_jwks, "--jwt-jwks", most, self._read_key_set))

    @property
    def problems(self) -> list[str]:
        """Why the keys in use are not those of their files and URL now; empty if they are."""
        found = [each.problem for each in self._files]
        if self._key_set is not None:
            found.append(self._key_set.problem)
        return [each for each in found if each is not None]

    def start(self) -> None:
        """Follow the files and the URL until ``close``."""
        if self._files:
            self._running.append(asyncio.create_task(self._follow_files(), name="access files"))
        if self._key_set is not None:
            self._running.append(asyncio.create_task(self._key_set.run(), name="access key set"))

    async def close(self) -> None:
        """End what ``start`` began."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def _follow_files(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_EVERY)
            for each in self._files:
                await each.reload()

    # ------------------------------------------------------------ decisions

    def new_session(self, identity: Identity | None) -> Session:
        """The session of a new connection; without an identity, it must authenticate in time."""
        session = Session(asyncio.get_running_loop().time() + AUTHENTICATE_WITHIN)
        if identity is not None:
            session.begin(identity, self.revision, self.wall())
        return session

    def identify(self, token: str) -> Identity:
        """The client to which the token belongs. Raises Denied. Cost: 3 us for a key or a known token, else 50 to 500 us."""
        now = self.wall()
        if has_key_form(token):
            identity = self._store(digest(token)).identify(token, now)
        elif self._tokens is not None:
            identity = self._identify_token(self._tokens, token, now)
        else:
            raise Denied(DenialReason.MALFORMED, "the token is not an API key")
        self.accepted[identity.method] += 1
        return identity

    def _identify_token(self, tokens: TokenVerifier, token: str, now: float) -> Identity:
        if known := tokens.known(token, now):
            return known
        # Verifying takes up to 0.5 ms of the loop, and any stranger can send new tokens.
        if self._checks.wait(self._clock(), 0) > 0:
            raise Denied(DenialReason.UNAVAILABLE, "too many new tokens at the same time")
        # Processor time: clients must not be charged for the time that other processes take.
        since = time.thread_time()
        try:
            return tokens.verify(token)
        except Denied as denied:
            unknown = denied.reason is DenialReason.UNKNOWN_SIGNING_KEY or not len(tokens.keys)
            if unknown and self._key_set is not None and self._key_set.request():
                raise Denied(
                    DenialReason.UNAVAILABLE, "the keys to verify the token are being fetched"
                ) from denied
            raise
        finally:
            self._checks.charge(self._clock(), time.thread_time() - since)

    def confirm(self, session: Session) -> None:
        """Check a session's API key again, after the keys have changed. Raises Denied if it is gone."""
        identity = session.identity
        if identity is None or session.revision == self.revision:
            return
        if identity.method is Method.KEY:
            identity = self._store(identity.key_id).current(identity, self.wall())
        session.begin(identity, self.revision, self.wall())

    def lend(self) -> str:
        """A new API key for this process's own clients, in a drill. It is in no file."""
        token = generate()
        now = rfc3339.seconds(self.wall())
        self._lent = Keys([StoredKey(name="drill", sha256=digest(token), created=now)])
        return token

    def _store(self, key_id: str) -> Keys:
        """The keys among which the one with this hash is looked up. Raises Denied if the service takes no API keys."""
        if self._lent.has(key_id):
            return self._lent
        if self._keys is None:
            raise Denied(DenialReason.UNKNOWN_KEY, "this service takes no API keys")
        return self._keys

    # ------------------------------------------------------------ keys

    def _read_keys(self, raw: bytes) -> Callable[[], None]:
        keys = Keys(decode(raw).keys)
        if not len(keys):
            log.warning("the file of --keys has no key: nobody can subscribe with one")
        return lambda: self._use_keys(keys)

    def _use_keys(self, keys: Keys) -> None:
        self._keys = keys
        self.revision += 1

    def _read_key(self, raw: bytes) -> Callable[[], None]:
        keys = signing_keys.from_file(raw)
        return lambda: self._verify_with(keys)

    def _read_key_set(self, raw: bytes) -> Callable[[], None]:
        keys, left_out = signing_keys.from_key_set(raw)
        for each in left_out:
            log.warning("--jwt-jwks: %s, and is left out", each)
        return lambda: self._verify_with(keys)

    def _verify_with(self, keys: SigningKeys) -> None:
        assert self._tokens is not None  # noqa: S101 - it is made before its files are read
        self._tokens.replace_keys(keys)
