"""The HTTP proxy for an upstream's connection, from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."""

from __future__ import annotations

import base64
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from qcfeed.errors import UpstreamError

_SCHEMES = {"ws": "http", "wss": "https"}


class Proxy(NamedTuple):
    """A proxy's URL without user and password, and the headers for it. None: connect directly."""

    url: str | None = None
    headers: dict[str, str] | None = None


def find(target: str) -> Proxy:
    """The proxy for the URL ``target``. Raises UpstreamError for a proxy that is not an HTTP proxy."""
    parts = urlsplit(target)
    proxies = getproxies()
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return Proxy()
    given = proxies.get(_SCHEMES.get(parts.scheme, parts.scheme)) or proxies.get("all")
    if not given:
        return Proxy()
    proxy = urlsplit(given if "://" in given else f"http://{given}")
    if proxy.scheme not in ("http", "https") or not proxy.hostname:
        raise UpstreamError(
            f"the environment names a proxy that is not supported: {proxy.scheme}://",
            hint="HTTPS_PROXY=http://HOST:PORT; or except this upstream with NO_PROXY",
        )
    host = proxy.netloc.rpartition("@")[2]
    user, password = proxy.username, proxy.password or ""
    headers = {}
    if user:
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return Proxy(f"{proxy.scheme}://{host}", headers)
