"""Checks where a request comes from: its Host, the web page's Origin, and the proxies in front.

access/browser_origin.py and access/trusted_proxies.py have the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from qcfeed.access import browser_origin, trusted_proxies
from qcfeed.access.client_address import is_loopback
from qcfeed.access.trusted_proxies import Origin, TrustedProxies
from qcfeed.config import Config
from qcfeed.ws.refusal import Refusal


class RequestChecks:
    """The checks of one port. ``loopback``: whether it can be reached from this machine alone."""

    def __init__(self, config: Config, *, loopback: bool = False) -> None:
        self.loopback = loopback
        self.proxies = TrustedProxies(trusted_proxies.parse_networks(config.trusted_proxy))
        self._origins = browser_origin.parse_list(config.allow_origin)
        self._hosts = browser_origin.parse_list(config.allow_host)
        self._allowed_host: bytes | None = None
        """The Host that was allowed last; the next request usually has the same."""

    def bind(self, host: str) -> None:
        """The port is bound to this address."""
        self.loopback = is_loopback(host)

    def locate(self, peer: tuple[str, int], headers: Mapping[bytes, bytes]) -> Origin | Refusal:
        """The client of a request that came from ``peer``. Header names are lower-cased."""
        found = self.proxies.origin(peer, headers) if self.proxies else Origin(*peer)
        if found is not None:
            return found
        return Refusal(
            HTTPStatus.BAD_REQUEST,
            "bad_forwarded",
            "Forwarded and X-Forwarded-For name different clients: the proxy must remove the one"
            " that it does not write itself",
        )

    def check(self, headers: Mapping[bytes, bytes], seen: Origin) -> Refusal | None:
        """Check Host and Origin. ``seen``: what trusted proxies report about the request."""
        given = headers.get(b"host", b"")
        if given != self._allowed_host and (refusal := self._check_host(given)):
            return refusal
        origin = headers.get(b"origin")
        if origin is None:
            return None
        host = given.decode("latin-1")
        page = origin.decode("latin-1")
        reached = seen.requested_host or host
        if browser_origin.allows_origin(page, reached, seen.scheme, self._origins):
            return None
        return _forbidden(
            "foreign_origin",
            f"web pages of {page[:100]!r} may not connect",
            "--allow-origin ORIGIN allows them",
        )

    def _check_host(self, given: bytes) -> Refusal | None:
        host = given.decode("latin-1")
        if (self.loopback or self._hosts) and not browser_origin.allows_host(host, self._hosts):
            return _forbidden(
                "foreign_host",
                f"this service does not answer to Host {host[:100]!r}",
                "--allow-host NAME allows it",
            )
        self._allowed_host = given
        return None


def _forbidden(code: str, why: str, hint: str) -> Refusal:
    return Refusal(HTTPStatus.FORBIDDEN, code, f"{why}; {hint}")
