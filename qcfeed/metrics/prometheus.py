"""Queries Prometheus, through prometheus-api-client with safer defaults.

That library has no timeout, retries refused connections for six seconds, lets ~/.netrc replace a bearer
token, accepts any web page as an answer, and drops warnings. Importing this module takes 100 ms, so
import it only where Prometheus is queried.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from qcfeed.config import PrometheusConfig
from qcfeed.errors import PrometheusError
from qcfeed.formats import clipped, printable
from qcfeed.metrics import prometheus_access as access
from qcfeed.metrics import prometheus_answers as answers
from qcfeed.metrics.prometheus_access import reason
from qcfeed.model.json_errors import JSON_ERRORS

CLOCK_TOLERANCE_S = 5.0
"""Seconds by which clocks may differ before it is reported: the Date header has whole seconds."""
_UNAUTHORIZED = (401, 403)
_QUERIES = ("/api/v1/query", "/api/v1/query_range")
_MAX_ERROR = 500
"""Characters of a server's error or warning that are shown."""
_MAX_WARNINGS = 10
_LATEST = 253_402_300_800.0
"""The year 10,000 in Unix seconds: later times have no date."""
_MAX_REASON = 200
_UNEXPECTED = (KeyError, TypeError, ValueError, *JSON_ERRORS)
"""Exceptions that a body of another form than expected raises."""

Answer = TypeVar("Answer")
Data = TypeVar("Data")


class PrometheusSeries(NamedTuple):
    """One series of an answer: (Unix seconds, value), oldest first, without NaN."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


class Prometheus:
    """A Prometheus server. All requests together may take ``timeout`` seconds, from the first one on.

    Every request raises PrometheusError on failure, with one sentence and a hint. No request exceeds the
    time left, however slowly the server sends: it runs in a daemon thread of its own. If the server
    never stops sending, that thread lives until the process ends.
    """

    def __init__(self, config: PrometheusConfig, *, timeout: float) -> None:
        """Sends no request yet. Raises ConfigError for an invalid URL or an unreadable file."""
        url, userinfo, query = access.split_url(config.prometheus)
        self.url = url
        self.timeout = timeout
        self.warnings: list[str] = []
        """Warnings that the server sent with its answers."""
        self._deadline: float | None = None
        self._who, self._who_else = access.credentials_hint(config, userinfo)
        self._session = access.session(config, url)
        self._session.inspect = self._inspect
        self._session.params = dict(query)
        self._skew: float | None = None
        self._server = PrometheusConnect(
            url,
            headers=access.headers(config),
            auth=access.basic(config) or userinfo,
            session=self._session,
            # The library's default repeats a refused connection for six seconds.
            retry=Retry(0, read=False),
        )

    # ------------------------------------------------------------ queries

    def instant(self, query: str, at: float) -> list[PrometheusSeries]:
        """The result of an instant query at ``at`` (Unix seconds)."""
        found = self._within(
            lambda timeout: self._server.custom_query(query, {"time": f"{at:.3f}"}, timeout)
        )
        return [_series(each) for each in found]

    def range(self, query: str, start: float, end: float, step: float) -> list[PrometheusSeries]:
        """The result of a range query with a value every ``step`` seconds, including both ends."""
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        found = self._within(
            lambda timeout: self._server.custom_query_range(
                query, first, last, f"{step:g}", timeout=timeout
            )
        )
        return [_series(each) for each in found]

    def fetch(self, path: str, kind: type[Data], **params: str) -> Data:
        """``data`` of an API path that the library does not support: /api/v1/alerts, /api/v1/rules."""
        library = self._server

        def get(timeout: float) -> Data:
            found = self._session.get(
                self.url + path,
                params=params,
                headers=library.headers,
                auth=library.auth,
                timeout=timeout,
            )
            return answers.decode(found.content, kind)

        return self._within(get)

    def now(self) -> float:
        """Unix seconds by the server's clock, which timestamps the samples."""
        return time.time() + self.skew

    @property
    def skew(self) -> float:
        """Seconds by which the server's clock is ahead of this machine's; 0 if too small to tell."""
        if self._skew is None:
            self.fetch("/api/v1/query", answers.QueryData, query="vector(1)")
        skew = self._skew or 0.0
        return skew if abs(skew) > CLOCK_TOLERANCE_S else 0.0

    # ------------------------------------------------------------ one request

    def _within(self, ask: Callable[[float], Answer]) -> Answer:
        """Call ``ask`` with the seconds that are left. Exceptions become errors for people (errors.py)."""
        # The time starts with the first request, not with the constructor.
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self.timeout
        left = self._deadline - now
        outcome: queue.SimpleQueue[tuple[Answer | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.put((ask(left), None))
            except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
                outcome.put((None, error))

        if left <= 0:
            raise self._slow()
        threading.Thread(target=run, name="qcfeed-prometheus", daemon=True).start()
        try:
            answer, error = outcome.get(timeout=left)
        except queue.Empty:
            raise self._slow() from None
        if error is not None:
            raise self._for_people(error) from error
        return answer  # type: ignore[return-value]

    def _inspect(self, response: requests.Response, body: bytes) -> bytes:
        """Check that this is an answer of Prometheus, and keep its warnings and its clock.

        Returns the part of the body that qcfeed reads.
        """
        status = response.status_code
        if status in _UNAUTHORIZED:
            raise PrometheusError(
                f"Prometheus at {self.url} refused {self._who} (HTTP status {status})",
                hint=self._who_else,
            )
        path = urlsplit(response.url).path
        try:
            envelope, body = answers.check(body, is_query=path.endswith(_QUERIES))
        except JSON_ERRORS:
            raise self._stranger(response) from None
        if envelope.status != "success" or status != requests.codes.ok:
            kind, why = envelope.error_type or "error", envelope.error or f"HTTP status {status}"
            raise PrometheusError(
                f"Prometheus at {self.url} refused the query: "
                + printable(f"{kind}: {why}"[:_MAX_ERROR])
            )
        for warning in (envelope.warnings or ())[:_MAX_WARNINGS]:
            if (shown := printable(warning[:_MAX_ERROR])) not in self.warnings:
                self.warnings.append(shown)
        self._skew = _skew(response.headers.get("Date"), time.time())
        return body

    # ------------------------------------------------------------ errors

    def _stranger(self, response: requests.Response) -> PrometheusError:
        kind = response.headers.get("Content-Type", "no type").partition(";")[0]
        what = f"HTTP status {response.status_code}, {kind}{self._redirected(response)}"
        return PrometheusError(
            f"{self.url} does not answer like Prometheus: {printable(what)}",
            hint=f"is it another program, or a login page? try: curl {self.url}/api/v1/query?query=up",
        )

    def _redirected(self, to: object) -> str:
        """Where the request went, if a redirect led it away. ``to``: a response, or an exception."""
        url = getattr(to, "url", None) or getattr(getattr(to, "request", None), "url", None)
        if not url or url.startswith(self.url):
            return ""
        return f", after a redirect to {printable(clipped(url.partition('?')[0]))}"

    def _slow(self) -> PrometheusError:
        return PrometheusError(
            f"Prometheus at {self.url} did not answer within {self.timeout:g} s",
            hint="`qcfeed --timeout 30 ...` waits longer; a shorter --since asks for less",
        )

    def _for_people(self, error: BaseException) -> BaseException:
        """An exception of a library as an error for people; others unchanged."""
        if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
            return self._slow()
        if isinstance(error, requests.exceptions.SSLError):
            return PrometheusError(
                f"no trusted connection to Prometheus at {self.url}: {reason(error)}",
                hint="give the certificates to trust with --prometheus-ca;"
                " a client certificate with --prometheus-cert",
            )
        if isinstance(error, urllib3.exceptions.DecodeError):
            return PrometheusError(
                f"{self.url} does not answer like Prometheus: its content cannot be decompressed"
            )
        if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
            return PrometheusError(
                f"Prometheus at {self.url} does not answer{self._redirected(error)}: {reason(error)}",
                hint=f"is it running? try: curl {self.url}/-/ready",
            )
        if isinstance(error, _UNEXPECTED):
            return PrometheusError(
                f"{self.url} does not answer like Prometheus: {printable(str(error)[:_MAX_REASON])}",
                hint=f"what does it say? try: curl {self.url}/api/v1/status/buildinfo",
            )
        return error


# ---------------------------------------------------------------- what was answered


def _series(found: Mapping[str, Any]) -> PrometheusSeries:
    pairs = ((float(at), float(value)) for at, value in found["values"])
    return PrometheusSeries(
        found["metric"],
        [(at, value) for at, value in pairs if 0 <= at < _LATEST and math.isfinite(value)],
    )


def _skew(date: str | None, now: float) -> float:
    try:
        return parsedate_to_datetime(date or "").timestamp() - now
    except (ValueError, OverflowError):
        return 0.0
