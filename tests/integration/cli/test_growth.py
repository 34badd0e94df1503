"""`qcfeed growth` against a real Prometheus with a past, and against what only pretends to be one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from qcfeed.cli.ui.times import resolve
from qcfeed.metrics.prometheus_access import CA_VARIABLES
from tests.support import incident, loopback_http
from tests.support.certificate import of_localhost
from tests.support.loopback_http import DRIPS, PAUSE, reply, serving, success
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import Prometheus, needs_prometheus, openmetrics, prometheus

DAY = 86_400.0
MEMORY, LIVE, SPAWNED = (
    "process_resident_memory_bytes",
    "qcfeed_tasks_live",
    "qcfeed_tasks_spawned_total",
)

Series = dict[str, list[tuple[float, float]]]
Call = Callable[..., Any]


def service(
    instance: str, memory: list[tuple[float, float]], *, limit: float | None = 16e9
) -> Series:
    labels = f'instance="{instance}",job="qcfeed"'
    samples = {
        f"{MEMORY}{{{labels}}}": memory,
        f'{LIVE}{{{labels},location="a.py:1"}}': [(at, value / 1e6) for at, value in memory],
    }
    if limit is not None:
        samples[f"qcfeed_memory_limit_bytes{{{labels}}}"] = [(at, limit) for at, _ in memory]
    return samples


def every(begin: float, count: int, value: Callable[[int], float]) -> list[tuple[float, float]]:
    return [(begin + n * 15, value(n)) for n in range(count)]


def day(number: int) -> float:
    return incident.BEGAN + number * DAY


def at(number: int) -> tuple[str, str]:
    return "--at", datetime.fromtimestamp(day(number) + 3_600, UTC).isoformat()


def past() -> Series:
    """A day for each case, so that each has Prometheus for itself."""
    restarted = every(day(2), 120, lambda n: 9e9 + n * 1e6)
    restarted += every(day(2) + 1_800, 120, lambda n: 1e9 + n * 15e3)
    gap = [*every(day(1), 60, lambda n: 1e9 + n * 15e3), *every(day(1) + 2_700, 61, lambda n: 2e9)]
    spawned = every(day(2), 120, lambda n: 5_000 + n) + every(day(2) + 1_800, 120, float)
    samples = incident.series()
    samples |= service("gap:1", gap)
    samples |= service("restarted:1", restarted)
    samples[f'{SPAWNED}{{instance="restarted:1",job="qcfeed",location="a.py:1"}}'] = spawned
    samples |= service("once:1", every(day(3) + 3_590, 1, lambda _: 1e9))
    samples |= service("old:1", every(day(4), 120, lambda _: 1e9))
    samples |= service("new:1", every(day(4) + 1_860, 116, lambda _: 1e9))
    samples |= service("left:1", every(day(5), 240, lambda _: 1e9))
    samples |= service("right:1", every(day(5), 240, lambda _: 1e9))
    samples |= service("unlimited:1", every(day(6), 240, lambda n: 1e9 + n * 15e3), limit=None)
    samples |= service("silent:1", every(day(7), 120, lambda _: 1e9))
    one = service("twice:1", every(day(8), 240, lambda n: 1e9 + n * 15e3))
    for replica in ("a", "b"):
        samples |= {f'{name[:-1]},replica="{replica}"}}': rows for name, rows in one.items()}
    for name, instance in (("MarketDataMemory", "market-data-prod-1:8006"), ("Other", "1:8006")):
        fired = f'ALERTS{{alertname="{name}",alertstate="firing",instance="{instance}"}}'
        samples[fired] = [(incident.AT - 15, 1.0), (incident.AT, 1.0)]
    return samples


RULES = """
groups:
  - name: incident
    rules:
      - alert: MarketDataMemory
        expr: process_resident_memory_bytes > 14e9
        annotations:
          summary: market-data-prod memory usage exceeds threshold
          description: |
            Memory Usage: 14.2 GB / 16 GB (88.75%)
            Memory Growth Rate: +450 MB/hour
            Projected OOM: ~4 hours
      - alert: Other
        expr: process_resident_memory_bytes > 14e9
        annotations: {summary: "+1 MB/hour"}
"""


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    (directory / "rules.yml").write_text(RULES)
    config = "global: {evaluation_interval: 1h}\nrule_files: [rules.yml]\n"
    with prometheus(directory, config=config, history=openmetrics(past())) as server:
        yield server


@pytest.fixture
def growth(qcfeed_: Call, remembering: Prometheus) -> Call:
    def ask(*args: str) -> Any:
        return qcfeed_("growth", "--prometheus", remembering.url, *args)

    return ask


INCIDENT = ("--at", "2024-03-20T02:15")


@needs_prometheus
class TestWithARealPrometheus:
    def test_samples_of_two_replicas_are_not_summed(self, growth: Call) -> None:
        left = growth(*at(8), "--since", "1h", "-o", "json")
        told = json.loads(left.out)
        assert told["target"] == "qcfeed/twice:1"
        last = told["timeline"][-1]
        assert last["resident_bytes"] == pytest.approx(1e9 + 239 * 15e3)
        assert last["live"] == pytest.approx(1e3, rel=0.1)

    def test_the_incident_had_under_four_minutes_left_in_its_worst_window(
        self, growth: Call
    ) -> None:
        left = growth(*INCIDENT, "-o", "json")
        assert left.status == 1
        told = json.loads(left.out)
        assert told["schema"] == "qcfeed.growth/2"
        assert told["source"] == "prometheus"
        assert told["at"] == "2024-03-20T02:15:00Z"
        assert told["worst"] == {"window": "15m", "time_to_limit_s": pytest.approx(231.4, abs=0.1)}
        assert told["accelerating"] is True
        quarter = told["windows"][0]
        assert quarter["window"] == "15m"
        assert quarter["samples"] == 61
        assert quarter["memory_bytes_per_hour"] == pytest.approx(28 * incident.GB, rel=1e-3)
        assert quarter["tasks_per_minute"] == pytest.approx(1_550.8, abs=1)
        assert len(told["timeline"]) == 541
        assert told["timeline"][0]["live"] == 1_247
        leaking = told["locations"][0]
        assert leaking["location"] == "market/src/feed.rs:83"
        assert (leaking["net"], leaking["share"]) == (46_582, 1.0)

    def test_the_rate_that_the_alert_claimed_is_shown_beside_the_measured_one(
        self, growth: Call
    ) -> None:
        left = growth(*INCIDENT)
        assert "MarketDataMemory: Memory Growth Rate: +450 MB/hour" in left.out
        assert "4h17m left" in left.out, "1.8 GB at 450 MB an hour"
        assert "66.8 times as fast" in left.out
        assert "no window has this rate" in left.out
        assert "Other" not in left.out, "it is about another instance"
        assert "3m51s until 16.0 GiB, at the rate of the last 15m" in left.out
        assert "finding: memory reaches its limit of 16.0 GiB in 3m51s" in left.err
        assert "14.2 GiB" in left.out
        assert "47,829" in left.out
        assert all(len(line) <= 80 for line in left.out.splitlines() if "why" not in line)

    def test_a_claimed_rate_is_compared_with_the_samples(self, growth: Call) -> None:
        left = growth(*INCIDENT, "--claimed", "28GiB/h", "-o", "json")
        assert json.loads(left.out)["claims"][-1]["why"] == "it is the rate of the window 5m"
        assert growth("--claimed", "much").status == 2

    def test_by_location_and_as_csv(self, growth: Call) -> None:
        left = growth(*INCIDENT, "--by", "location", "-o", "csv")
        assert left.out.splitlines()[1].startswith("market/src/feed.rs:83,47582,46582,")
        assert len(growth(*INCIDENT, "-o", "csv").out.splitlines()) == 542

    def test_a_long_time_does_not_blur_the_last_minutes(self, growth: Call) -> None:
        told = json.loads(growth(*INCIDENT, "--since", "30d", "-o", "json").out)
        assert told["worst"]["time_to_limit_s"] == pytest.approx(231.4, abs=0.1)
        assert {each["window"]: each["samples"] for each in told["windows"]}["1h"] == 241

    def test_gaps_are_reported_and_not_filled(self, growth: Call) -> None:
        told = json.loads(growth(*at(1), "-o", "json").out)
        assert told["gaps"] == [["2024-03-21T00:14:45Z", "2024-03-21T00:45:00Z"]]
        assert len(told["timeline"]) == 121

    def test_a_restart_is_reported_and_rates_count_from_it(self, growth: Call) -> None:
        left = growth(*at(2), "-o", "json")
        told = json.loads(left.out)
        assert told["restarted_at"] == ["2024-03-22T00:30:00Z"]
        whole = next(each for each in told["windows"] if each["window"] == "whole")
        assert whole["samples"] == 120
        assert whole["memory_bytes_per_hour"] == pytest.approx(3.6e6, rel=1e-3)

    def test_a_single_sample_gives_no_trend(self, growth: Call) -> None:
        left = growth(*at(3))
        assert left.status == 0
        assert "1 of at least 3 samples" in left.out
        assert "unknown: there are too few samples" in left.out

    def test_a_renamed_target_is_followed_and_reported(self, growth: Call) -> None:
        left = growth(*at(4))
        assert left.out.startswith("qcfeed/new:1,")
        assert "an earlier target, qcfeed/old:1, has ended" in left.err
        old = growth(*at(4), "--prometheus-target", "old:1")
        assert "qcfeed/new:1 began after it; was it renamed?" in old.err
        assert "the last sample is 30 min old" in old.err

    def test_two_targets_are_an_error_that_names_both(self, growth: Call) -> None:
        left = growth(*at(5))
        assert left.status == 2
        assert "2 services: qcfeed/left:1, qcfeed/right:1" in left.err
        assert "--prometheus-target" in left.err
        assert growth(*at(5), "--prometheus-target", "right:1").out.startswith("qcfeed/right:1,")
        unknown = growth(*at(5), "--prometheus-target", "nobody:1")
        assert unknown.status == 3
        assert "it has qcfeed/left:1, qcfeed/right:1; was the target renamed?" in unknown.err

    def test_without_a_memory_limit_rates_are_still_shown(self, growth: Call) -> None:
        left = growth(*at(6))
        assert "the memory limit is not known" in left.err
        assert json.loads(growth(*at(6), "-o", "json").out)["worst"] is None
        limited = json.loads(growth(*at(6), "--memory-limit", "2GB", "-o", "json").out)
        assert limited["worst"]["time_to_limit_s"] > 0

    def test_a_target_that_is_no_longer_scraped_is_reported(self, growth: Call) -> None:
        assert "the last sample is 30 min old: is the service still scraped?" in growth(*at(7)).err

    def test_no_samples_at_all_is_one_clear_error(self, growth: Call) -> None:
        left = growth(*at(9))
        assert (left.status, left.out) == (3, "")
        assert "no samples of a qcfeed service in that time" in left.err

    def test_clocks_that_differ_are_reported(self, qcfeed_: Call, remembering: Prometheus) -> None:
        an_hour_ago = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 3_600))
        behind = loopback_http.between(remembering.url, lambda _: None, Date=an_hour_ago)
        with serving(behind) as url:
            left = qcfeed_("growth", "--prometheus", url, *INCIDENT)
        assert re.search(r"Prometheus' clock is 3,[67]\d\d", left.err)  # and what the way took
        assert "behind this machine's" in left.err

    def test_now_is_the_time_of_the_prometheus_server(self, qcfeed_: Call, tmp_path: Path) -> None:
        an_hour_ago = time.time() - 3_600
        shifted = incident.series(shift=an_hour_ago - incident.AT)
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(an_hour_ago + 1))
        with (
            prometheus(tmp_path / "server", history=openmetrics(shifted)) as server,
            serving(loopback_http.between(server.url, lambda _: None, Date=date)) as url,
        ):
            left = qcfeed_("growth", "--prometheus", url, "-o", "json")
        assert json.loads(left.out)["worst"]["time_to_limit_s"] < 240
        assert "min old" not in left.err

    def test_warnings_of_prometheus_are_shown(self, qcfeed_: Call, remembering: Prometheus) -> None:
        def warn(said: dict[str, Any]) -> None:
            said["warnings"] = ["a store is missing"]

        with serving(loopback_http.between(remembering.url, warn)) as url:
            left = qcfeed_("growth", "--prometheus", url, *INCIDENT)
        assert left.err.count("note: Prometheus warns: a store is missing") == 1

    @pytest.mark.parametrize("kind", ["png", "svg"])
    def test_the_plot_is_written_as_a_picture(
        self, growth: Call, tmp_path: Path, kind: str
    ) -> None:
        picture = tmp_path / f"growth.{kind}"
        assert growth(*INCIDENT, "--plot", str(picture)).status == 1
        begins = picture.read_bytes()[:5]
        assert begins == (b"\x89PNG\r" if kind == "png" else b"<?xml")

    def test_a_time_of_day_means_the_last_time_that_it_was_so(
        self, qcfeed_: Call, tmp_path: Path
    ) -> None:
        # Half a day from now, so that it does not come, and become the last time, meanwhile.
        clock = f"{datetime.now(UTC) - timedelta(hours=12):%H:%M}"
        last = resolve(clock, datetime.now(UTC))
        shifted = incident.series(shift=last - incident.AT)
        with prometheus(tmp_path / "server", history=openmetrics(shifted)) as server:
            left = qcfeed_("growth", "--prometheus", server.url, "--at", clock, "-o", "json")
        told = json.loads(left.out)
        assert told["at"].endswith(f"T{clock}:00Z")
        assert told["worst"]["time_to_limit_s"] < 240


# ---------------------------------------------------------------- bad days

CUT_OFF = reply('{"status":"success"}')[:-5]
ERROR = reply('{"status":"error","errorType":"execution","error":"too many samples"}', status=422)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (reply("<html>Hello</html>", kind="text/html"), "does not answer like Prometheus"),
        (reply('{"hello": "world"}'), "does not answer like Prometheus"),
        (reply("[]"), "does not answer like Prometheus"),
        (
            reply("Unauthorized", status=401, kind="text/plain"),
            "refused a request without credentials",
        ),
        (reply("no", status=403, kind="text/plain"), "refused a request without credentials"),
        (reply("starting", status=503, kind="text/plain"), "HTTP status 503"),
        (ERROR, "execution: too many samples"),
        (CUT_OFF, "does not answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer"),
        (b"", "does not answer"),
    ],
)
def test_a_server_that_is_not_prometheus_is_one_clear_error(
    qcfeed_: Call, answer: bytes, says: str
) -> None:
    with serving(lambda _, __: [answer]) as url:
        left = qcfeed_("growth", "--prometheus", url)
    assert (left.status, left.out) == (3, "")
    assert says in left.err
    assert "Traceback" not in left.err


def test_a_prometheus_that_is_down_is_one_clear_error(qcfeed_: Call) -> None:
    with loopback_http.refused() as url:
        left = qcfeed_("growth", "--prometheus", url)
    assert left.status == 3
    assert f"Prometheus at {url} does not answer: Connection refused" in left.err
    assert f"curl {url}/-/ready" in left.err


def test_a_login_page_is_not_prometheus(qcfeed_: Call) -> None:
    with serving(lambda _, __: [reply("<html>", kind="text/html")]) as login:
        away = reply("", status=302, Location=f"{login}/login?token=secret")
        with serving(lambda _, __: [away]) as url:
            left = qcfeed_("growth", "--prometheus", url)
    assert left.status == 3
    assert f"after a redirect to {login}/login" in left.err
    assert "secret" not in left.err


def test_a_failed_query_is_not_repeated(qcfeed_: Call) -> None:
    asked: list[str] = []

    def busy(target: str, _: Any) -> list[bytes]:
        asked.append(target)
        return [reply("busy", status=503, kind="text/plain")]

    with serving(busy) as url:
        assert qcfeed_("growth", "--prometheus", url).status == 3
    assert len(asked) == 1


def test_a_token_does_not_go_along_to_another_host(
    qcfeed_: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCFEED_PROMETHEUS_TOKEN", "t0p-s3cret")
    sent: dict[str, str | None] = {}

    def elsewhere(_: str, asked: Any) -> list[bytes]:
        sent["elsewhere"] = asked["Authorization"]
        return [reply("<html>", kind="text/html")]

    with serving(elsewhere) as other:

        def away(_: str, asked: Any) -> list[bytes]:
            sent["named"] = asked["Authorization"]
            return [reply("", status=302, Location=f"{other}/login")]

        with serving(away) as url:
            qcfeed_("growth", "--prometheus", url)
    assert sent == {"named": "Bearer t0p-s3cret", "elsewhere": None}


def test_a_servers_text_cannot_control_the_terminal(qcfeed_: Call) -> None:
    evil = json.dumps({"status": "error", "errorType": "\x1b[2J", "error": "a\nb"})
    with serving(lambda _, __: [reply(evil, status=422)]) as url:
        left = qcfeed_("growth", "--prometheus", url)
    assert r"\x1b[2J: a\nb" in left.err
    assert "\x1b" not in left.err


@pytest.mark.parametrize(
    "answer",
    [
        loopback_http.never,
        loopback_http.dripping(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5_000),
        loopback_http.dripping(b" "),
    ],
    ids=["slow", "dripping-head", "dripping-nothing"],
)
def test_nothing_hangs_longer_than_the_timeout(qcfeed_: Call, answer: loopback_http.Answer) -> None:
    with serving(answer) as url:
        began = time.monotonic()
        left = qcfeed_("--timeout", "0.4", "growth", "--prometheus", url)
        took = time.monotonic() - began
    assert left.status == 3
    assert "did not answer within 0.4 s" in left.err
    assert took < PATIENCE < DRIPS * PAUSE, "it would drip for longer"


def test_a_body_that_arrives_byte_by_byte_times_out_too(qcfeed_: Call) -> None:
    def answer(target: str, headers: Any) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        yield from loopback_http.dripping(b" ")(target, headers)

    with serving(answer) as url:
        left = qcfeed_("--timeout", "0.4", "growth", "--prometheus", url)
    assert "did not answer within 0.4 s" in left.err


def test_an_endless_answer_is_not_kept(qcfeed_: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcfeed.metrics.prometheus_access.MAX_ANSWER_BYTES", 100_000)
    with serving(lambda _, __: [reply(b" " * 1_000_000)]) as url:
        left = qcfeed_("growth", "--prometheus", url)
    assert left.status == 3
    assert "over 100000 bytes" in left.err


# ---------------------------------------------------------------- who asks


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str | None]]]:
    """A server's URL, and the Authorization header of each request."""
    headers: list[str | None] = []

    def answer(_: str, asked: Any) -> list[bytes]:
        headers.append(asked["Authorization"])
        return [success({"resultType": "matrix", "result": []})]

    with serving(answer) as url:
        yield url, headers


def test_a_token_of_a_file_is_sent_whatever_netrc_says(
    qcfeed_: Call,
    heard: tuple[str, list[str | None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, headers = heard
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("t0p-s3cret\n")
    left = qcfeed_("growth", "--prometheus", url, "--prometheus-token-file", str(token))
    assert set(headers) == {"Bearer t0p-s3cret"}
    assert "t0p-s3cret" not in left.err + left.out


def test_a_user_and_a_password_are_sent(
    qcfeed_: Call, heard: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, headers = heard
    monkeypatch.setenv("QCFEED_PROMETHEUS_PASSWORD", "päss")
    qcfeed_("growth", "--prometheus", url, "--prometheus-user", "kim")
    assert set(headers) == {"Basic a2ltOnDDpHNz"}
    left = qcfeed_("growth", "--prometheus", url.replace("//", "//kim:hunter2@"))
    assert headers[-1] == "Basic a2ltOmh1bnRlcjI="
    assert "hunter2" not in left.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--prometheus", "localhost:9090"], "must be an http:// or https:// address"),
        (["--prometheus", "http://"], "must be an http:// or https:// address"),
        (["--prometheus-token-file", "/nowhere"], "cannot read /nowhere"),
        (["--prometheus-ca", "/nowhere"], "cannot read /nowhere"),
        (["--prometheus-key", "/nowhere"], "the certificate it belongs to"),
        (["--prometheus-user", "a", "--prometheus-token-file", "b"], "not both"),
        (["--at", "25:00"], "is not a time"),
        (["--plot", "growth.pdf"], "neither .png nor .svg"),
        (["--plot", "/nowhere/growth.png"], "No such file or directory"),
        (["--memory-limit", "much"], "is not a size"),
    ],
)
def test_impossible_options_are_usage_errors(qcfeed_: Call, args: list[str], says: str) -> None:
    left = qcfeed_("growth", "--prometheus", "http://127.0.0.1:1", *args)
    assert left.status == 2
    assert says in left.err


def test_plotting_without_matplotlib_says_what_to_install(
    qcfeed_: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    left = qcfeed_("growth", "--plot", "growth.png")
    assert left.status == 2
    assert "pip install 'qcfeed[plot]'" in left.err


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_localhost(tmp_path_factory.mktemp("tls"))


def test_tls_is_checked_against_the_certificates_named(
    qcfeed_: Call, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    empty = success({"resultType": "matrix", "result": []})
    with serving(lambda _, __: [empty], tls=tls) as url:
        unknown = qcfeed_("growth", "--prometheus", url)
        known = qcfeed_("growth", "--prometheus", url, "--prometheus-ca", str(certificate))
        variables = []
        for variable in CA_VARIABLES:
            with monkeypatch.context() as environment:
                for other in CA_VARIABLES:
                    environment.delenv(other, raising=False)
                environment.setenv(variable, str(certificate))
                variables.append(qcfeed_("growth", "--prometheus", url))
        careless = qcfeed_("growth", "--prometheus", url, "--prometheus-insecure")
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(certificate)
        named = ("--prometheus-ca", str(certificate), "--prometheus-cert", str(certificate))
        shown = qcfeed_("growth", "--prometheus", url, *named)
        hidden = qcfeed_("growth", "--prometheus", url, "--prometheus-ca", str(certificate))
    assert unknown.status == 3
    assert "no trusted connection" in unknown.err
    assert "--prometheus-ca" in unknown.err
    for left in (known, *variables, careless, shown):
        assert "no samples of a qcfeed service" in left.err
    assert hidden.status == 3
    assert "no samples" not in hidden.err
