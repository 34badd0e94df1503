"""Asking Prometheus, through prometheus-api-client with its defaults put right.

It has no timeout of its own, retries for six seconds what was refused, lets ~/.netrc replace a bearer
token, takes any page for Prometheus and drops warnings. Importing this costs 100 ms: only where
somebody asks Prometheus.
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

import requests
import urllib3
from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from qcfeed.config import PrometheusConfig
from qcfeed.errors import PrometheusError
from qcfeed.formats import printable
from qcfeed.metrics import prometheus_access as access
from qcfeed.metrics.prometheus_access import reason

CLOCK_TOLERANCE_S = 5.0
"""Seconds that two clocks may differ without a word: the Date header has whole seconds."""
_UNAUTHORIZED = (401, 403)

Answer = TypeVar("Answer")


class Series(NamedTuple):
    """One series of an answer: (Unix seconds, value), oldest first; NaN is left out."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


class Prometheus:
    """One server, asked for as long as ``timeout`` seconds last, all requests together.

    Every request raises PrometheusError, with one sentence and what to type next. No request takes
    longer than what is left of the time, however slowly the other end drips: it waits in a thread
    of its own, a daemon, which a server that goes on dripping keeps until the process ends.
    """

    def __init__(self, config: PrometheusConfig, *, timeout: float) -> None:
        """Asks nothing yet. Raises ConfigError for a URL or a file that cannot be."""
        url, userinfo = access.split_userinfo(config.prometheus)
        self.url = url
        self.timeout = timeout
        self.warnings: list[str] = []
        """What the server had to say beside its answers."""
        self._deadline: float | None = None
        self._who, self._who_else = access.credentials_hint(config, userinfo)
        self._session = access.session(config, url)
        self._session.inspect = self._inspect
        self._skew: float | None = None
        self._server = PrometheusConnect(
            url,
            headers=access.bearer(config),
            auth=access.basic(config) or userinfo,
            session=self._session,
            retry=Retry(0, read=False),
        )

    # ------------------------------------------------------------ queries

    def instant(self, query: str, at: float) -> list[Series]:
        """A query's vector at ``at`` (Unix seconds)."""
        found = self._within(
            lambda timeout: self._server.custom_query(query, {"time": f"{at:.3f}"}, timeout)
        )
        return [_series(each) for each in found]

    def range(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """A query's values every ``step`` seconds; both ends, to the second, are among them."""
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        found = self._within(
            lambda timeout: self._server.custom_query_range(
                query, first, last, f"{step:g}", timeout=timeout
            )
        )
        return [_series(each) for each in found]

    def fetch(self, path: str, **params: str) -> Any:
        """``data`` of an API path that the library does not know: /api/v1/alerts, /api/v1/rules."""
        asked = self._server
        return self._within(
            lambda timeout: self._session.get(
                self.url + path,
                params=params,
                headers=asked.headers,
                auth=asked.auth,
                timeout=timeout,
            ).json()["data"]
        )

    def now(self) -> float:
        """Unix seconds by the server's clock, which is what its samples are stamped with."""
        return time.time() + self.skew

    @property
    def skew(self) -> float:
        """Seconds that its clock is ahead of this machine's; 0 for less than can be told."""
        if self._skew is None:
            self.fetch("/api/v1/query", query="1")
        skew = self._skew or 0.0
        return skew if abs(skew) > CLOCK_TOLERANCE_S else 0.0

    # ------------------------------------------------------------ one request

    def _within(self, ask: Callable[[float], Answer]) -> Answer:
        """What ``ask`` returns, given the seconds that are left. Errors are told, see errors.py."""
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self.timeout
        left = self._deadline - now
        outcome: queue.SimpleQueue[tuple[Answer | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.put((ask(left), None))
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                outcome.put((None, error))

        if left <= 0:
            raise self._slow()
        threading.Thread(target=run, name="qcfeed-prometheus", daemon=True).start()
        try:
            answer, error = outcome.get(timeout=left)
        except queue.Empty:
            raise self._slow() from None
        if error is not None:
            raise self._told(error) from error
        return answer  # type: ignore[return-value]

    def _inspect(self, response: requests.Response) -> None:
        """Whether this is Prometheus' answer; what it says beside it is kept."""
        status = response.status_code
        if status in _UNAUTHORIZED:
            raise PrometheusError(
                f"Prometheus at {self.url} does not let {self._who} in (HTTP status {status})",
                hint=self._who_else,
            )
        try:
            body = response.json()
            said = body["status"]
        except (ValueError, TypeError, KeyError):
            raise self._stranger(response) from None
        if said != "success" or status != requests.codes.ok:
            raise PrometheusError(
                f"Prometheus at {self.url} refuses the query: "
                + printable(
                    f"{body.get('errorType', 'error')}: {body.get('error', f'HTTP status {status}')}"
                )
            )
        for warning in map(printable, map(str, body.get("warnings") or ())):
            if warning not in self.warnings:
                self.warnings.append(warning)
        self._skew = _skew(response.headers.get("Date"), time.time())

    # ------------------------------------------------------------ errors

    def _stranger(self, response: requests.Response) -> PrometheusError:
        kind = response.headers.get("Content-Type", "no type").partition(";")[0]
        what = f"HTTP status {response.status_code}, {kind}"
        if not response.url.startswith(self.url):
            what += f", after a redirect to {response.url.partition('?')[0]}"
        return PrometheusError(
            f"{self.url} does not answer as Prometheus does: {printable(what)}",
            hint=f"is it another program's, or a login page? try: curl {self.url}/api/v1/query?query=up",
        )

    def _slow(self) -> PrometheusError:
        return PrometheusError(
            f"Prometheus at {self.url} did not answer within {self.timeout:g} s",
            hint="`qcfeed --timeout 30 ...` waits longer; a shorter --since asks for less",
        )

    def _told(self, error: BaseException) -> BaseException:
        """An exception of the libraries', as an error for people."""
        if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
            return self._slow()
        if isinstance(error, requests.exceptions.SSLError):
            return PrometheusError(
                f"no trusted connection to Prometheus at {self.url}: {reason(error)}",
                hint="--prometheus-ca names the certificates to trust;"
                " --prometheus-cert a certificate of your own",
            )
        if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
            return PrometheusError(
                f"Prometheus at {self.url} does not answer: {reason(error)}",
                hint=f"is it running? try: curl {self.url}/-/ready",
            )
        if isinstance(error, KeyError | TypeError | ValueError):
            return PrometheusError(
                f"{self.url} answers in a way that Prometheus does not: {type(error).__name__}"
            )
        return error


# ---------------------------------------------------------------- what was answered


def _series(found: Mapping[str, Any]) -> Series:
    values = found["values"] if "values" in found else [found["value"]]
    pairs = ((float(at), float(value)) for at, value in values)
    return Series(found["metric"], [pair for pair in pairs if math.isfinite(pair[1])])


def _skew(date: str | None, now: float) -> float:
    try:
        return parsedate_to_datetime(date or "").timestamp() - now
    except ValueError:
        return 0.0
