"""Servers that are compatible with Prometheus, differ from it, or mean harm: growth, alerts and diagnose."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support import loopback_http
from tests.support.loopback_http import reply, serving, success
from tests.support.patience import PATIENCE

Call = Callable[..., Any]
DEEP = b'{"status":"success","data":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
MANY = b'{"status":"success","data":{"result":[' + b"[]," * 8_000_000 + b"[]]}}"


def matrix(*series: dict[str, Any]) -> bytes:
    return success({"resultType": "matrix", "result": list(series)})


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"resultType": "matrix", "result": None},
        {"resultType": "scalar", "result": [1.0, "1"]},
        {"resultType": "matrix", "result": [{"metric": {"job": "q"}, "histograms": []}]},
        {"resultType": "matrix", "result": [{"metric": None, "values": None}]},
        {"resultType": "matrix", "result": [{"values": [[1e300, "1"], [1.0, "NaN"]]}]},
    ],
    ids=["null", "empty", "null-result", "scalar", "histogram", "null-values", "no-numbers"],
)
def test_an_answer_without_samples_is_no_samples(qcfeed_: Call, data: Any) -> None:
    with serving(lambda _, __: [success(data)]) as url:
        growth = qcfeed_("growth", "--prometheus", url)
        alerts = qcfeed_("alerts", "--prometheus", url)
    assert growth.status == 3
    assert "has no samples of" in growth.err
    assert alerts.status == 3, "no list of alerts is not an empty list"
    assert "does not answer like Prometheus" in alerts.err


@pytest.mark.parametrize("groups", [None, [], [{"name": "g", "rules": None}], [{}]])
def test_null_is_an_empty_list_of_alerts_and_rules(qcfeed_: Call, groups: Any) -> None:
    with serving(lambda _, __: [success({"alerts": None, "groups": groups})]) as url:
        alerts = qcfeed_("alerts", "--prometheus", url)
    assert alerts.status == 0
    assert "none of 0 alerts" in alerts.err
    assert "has no alert rules loaded" in alerts.err


@pytest.mark.parametrize("body", [DEEP, MANY, b"[]", b"1", b"\xff", b'{"data":1}', b'{"status":1}'])
@pytest.mark.parametrize("command", ["growth", "alerts"])
def test_a_body_of_another_form_is_one_sentence(qcfeed_: Call, command: str, body: bytes) -> None:
    began = time.monotonic()
    with serving(lambda _, __: [reply(body)]) as url:
        left = qcfeed_("--timeout", f"{PATIENCE:g}", command, "--prometheus", url)
    assert left.status == 3
    assert "does not answer like Prometheus" in left.err
    assert len(left.err) < 1_000
    assert time.monotonic() - began < PATIENCE


def test_a_body_that_comes_slowly_does_not_outlast_the_timeout(qcfeed_: Call) -> None:
    def answer(_: str, __: Any) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + MANY[:-5]
        yield from loopback_http.dripping(b",[]")(_, __)

    with serving(answer) as url:
        began = time.monotonic()
        left = qcfeed_("--timeout", "1", "growth", "--prometheus", url)
        took = time.monotonic() - began
    assert left.status == 3
    assert "did not answer within 1 s" in left.err
    assert took < PATIENCE


def test_the_body_of_a_redirect_is_not_read(qcfeed_: Call) -> None:
    sent = 0

    def answer(target: str, _: Any) -> Iterator[bytes]:
        nonlocal sent
        if target.startswith("/moved"):
            yield matrix()
            return
        yield f"HTTP/1.1 302 Found\r\nLocation: /moved{target}\r\n\r\n".encode()
        for _ in range(2_000):
            yield b" " * 1_000_000
            sent += 1

    with serving(answer) as url:
        left = qcfeed_("growth", "--prometheus", url)
    assert left.status == 3
    assert "has no samples" in left.err
    assert sent < 100


def test_a_redirect_to_nowhere_and_a_false_gzip_are_told(qcfeed_: Call) -> None:
    away = reply("", status=302, Location="https://sso.invalid/login?token=s3cret")
    with serving(lambda _, __: [away]) as url:
        left = qcfeed_("growth", "--prometheus", url)
    assert left.status == 3
    assert "does not answer, after a redirect to https://sso.invalid/login: " in left.err
    assert "s3cret" not in left.err
    with serving(lambda _, __: [reply(b"no", **{"Content-Encoding": "gzip"})]) as url:
        left = qcfeed_("growth", "--prometheus", url)
    assert "its content cannot be decompressed" in left.err


@pytest.mark.parametrize(
    ("alert", "shown"),
    [
        ({}, {"name": "(unnamed)", "current_value": None}),
        ({"labels": None, "annotations": None, "value": None}, {"name": "(unnamed)"}),
        ({"labels": {"alertname": "A"}, "value": "x", "activeAt": "x"}, {"current_value": None}),
        ({"activeAt": "0001-01-01T00:00:00Z", "value": "1e+00"}, {"current_value": 1.0}),
        ({"activeAt": "2026-01-01T00:00:00.1+01:00"}, {"since": "2025-12-31T23:00:00Z"}),
        ({"annotations": {"summary": "s" * 1_000_000}}, {"summary": "s" * 2_000}),
    ],
)
def test_an_alert_may_lack_anything(
    qcfeed_: Call, alert: dict[str, Any], shown: dict[str, Any]
) -> None:
    def answer(_: str, __: Any) -> list[bytes]:
        return [success({"alerts": [alert], "groups": None})]

    with serving(answer) as url:
        left = qcfeed_("alerts", "--prometheus", url, "-o", "json")
    row = json.loads(left.out)["alerts"][0]
    assert {key: row[key] for key in shown} == shown


def test_replicas_are_one_service_and_clusters_are_several(qcfeed_: Call) -> None:
    """The queries take the larger of two replicas; targets of two clusters are told apart."""
    queries: list[str] = []

    def answer(target: str, _: Any) -> list[bytes]:
        query = parse_qs(urlsplit(target).query).get("query", [""])[0]
        queries.append(query)
        now = time.time()
        both = [
            {"metric": {"job": "q", "instance": "i", "cluster": name}, "values": [[now, "1"]]}
            for name in ("east", "west")
        ]
        return [matrix(*both) if query.startswith("count by") else matrix()]

    with serving(answer) as url:
        left = qcfeed_("growth", "--prometheus", url)
        named = qcfeed_("growth", "--prometheus", url, "--prometheus-target", "east/q/i")
    assert "2 services: east/q/i, west/q/i" in left.err
    assert "--prometheus-target" in left.err
    assert "no samples of east/q/i" in named.err
    samples = next(query for query in queries if query.startswith("sum"))
    assert "max by (__name__, location, upstream)" in samples
    assert 'cluster="east"' in samples


def test_an_alert_of_two_replicas_is_shown_once(qcfeed_: Call) -> None:
    def answer(_: str, __: Any) -> list[bytes]:
        labels = ({"alertname": "A", "replica": name, "job": "q"} for name in "ab")
        alerts = [{"labels": each, "state": "firing"} for each in labels]
        return [success({"alerts": alerts, "groups": []})]

    with serving(answer) as url:
        left = qcfeed_("alerts", "--prometheus", url, "-o", "name")
    assert left.out == "A\n"


def test_the_tenant_and_the_query_of_the_url_are_sent_with_every_request(qcfeed_: Call) -> None:
    tenants, tokens = set(), set()

    def answer(target: str, headers: Any) -> list[bytes]:
        tenants.add(headers["X-Scope-OrgID"])
        tokens.update(parse_qs(urlsplit(target).query).get("key", [""]))
        return [success({"result": [], "alerts": [], "groups": []})]

    with serving(answer) as url:
        asked = ("--prometheus", f"{url}/?key=t0p-s3cret", "--prometheus-tenant", "team-a")
        left = [qcfeed_("growth", *asked), qcfeed_("alerts", *asked)]
    assert [each.status for each in left] == [3, 0]
    assert tenants == {"team-a"}
    assert tokens == {"t0p-s3cret"}
    assert not any("s3cret" in each.err + each.out for each in left)


@pytest.mark.parametrize("tenant", ["a\r\nX-Evil: 1", "\u0661", " a"])
def test_a_tenant_that_is_no_header_is_refused(qcfeed_: Call, tenant: str) -> None:
    left = qcfeed_("growth", "--prometheus", "http://h", "--prometheus-tenant", tenant)
    assert left.status == 2
    assert "must be printable ASCII" in left.err


def test_a_fragment_is_no_address(qcfeed_: Call) -> None:
    left = qcfeed_("growth", "--prometheus", "http://127.0.0.1:1/#/graph")
    assert left.status == 2
    assert "must be an http:// or https:// address" in left.err
