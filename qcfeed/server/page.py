"""Serves the status page: its files to everybody, its content to authorized clients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from qcfeed.access.client_address import is_loopback
from qcfeed.control.dispatch import refused
from qcfeed.errors import NotAllowedError
from qcfeed.net.http_connections import HttpHandler
from qcfeed.server.request_checks import RequestChecks
from qcfeed.server.token_file import TokenFile
from qcfeed.shipped import PACKAGE
from qcfeed.status_page.source import PageSource
from qcfeed.ws.refusal import Refusal

ASSETS = Path(PACKAGE) / "status_page" / "assets"
CONTENT_PATH = "/page/status.json"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

HEADERS = {
    # Only scripts and styles from this port; none inline, no frames, no forms, no text parsed as markup.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""Headers that only proxies set."""


class StatusPageRoutes:
    """``token``: the one that the content demands; None: this machine only. ``checks``: find the client."""

    def __init__(self, source: PageSource, token: TokenFile | None, checks: RequestChecks) -> None:
        self._source = source
        self._token = token
        self._checks = checks

    def routes(self) -> list[web.RouteDef]:
        """The page at /, and everything else that it needs below /page/."""
        files = {
            "/" if path.name == "index.html" else f"/page/{path.name}": _file(path)
            for path in sorted(ASSETS.iterdir())
        }
        return [
            *(web.get(path, handler) for path, handler in files.items()),
            web.get(CONTENT_PATH, self._content),
        ]

    async def _content(self, request: web.Request) -> web.Response:
        if (denied := await self._denied(request)) is not None:
            return denied
        try:
            content = await self._source.content()
        except Exception as error:  # noqa: BLE001 - the boundary: the source has logged what is a bug
            status, body = refused(error)
            return _json(status, body)
        return _json(200, content.json, {"Age": str(math.ceil(content.age_s))})

    async def _denied(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            error = NotAllowedError("pages of other sites may not read the status page")
            return _json(*refused(error))
        if self._token is not None:
            if await self._token.accepts(request.headers.get("Authorization")):
                return None
            _, body = refused(NotAllowedError("the token is missing or wrong"))
            return _json(401, body, {"WWW-Authenticate": 'Bearer realm="qcfeed status page"'})
        if self._is_local(request):
            return None
        error = NotAllowedError(
            "without a token, the status page is for this machine only",
            hint="start the service with --page-token-file FILE",
        )
        return _json(*refused(error))

    def _is_local(self, request: web.Request) -> bool:
        """Whether a program of this machine sent it for itself, and not as a proxy for another machine."""
        headers = {name.lower().encode(): value.encode() for name, value in request.headers.items()}
        seen = self._checks.locate((request.remote or "", 0), headers)
        if isinstance(seen, Refusal) or not is_loopback(seen.host):
            return False
        return not any(name in request.headers for name in _FORWARDED)


def _json(status: int, body: bytes, more: Mapping[str, str] | None = None) -> web.Response:
    headers = {**HEADERS, **(more or {})}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _file(path: Path) -> HttpHandler:
    """Read once: the files of a running service do not change."""
    body, kind = path.read_bytes(), _KINDS[path.suffix]

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return serve
