"""Every reader of foreign bytes, as a function of bytes, with the errors that it declares.

Any other exception is a failure, and so is work or memory out of proportion to the input (budget.py).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from qcfeed.access.denial import Denied
from qcfeed.cli import saved_files
from qcfeed.client import endpoint, refusals
from qcfeed.client.gaps import GapDetector
from qcfeed.client.latest_quotes import LatestQuotes
from qcfeed.client.stream import Received
from qcfeed.config import Config, contexts
from qcfeed.config.loading import load_group
from qcfeed.control.routes import FEEDS, TASKS
from qcfeed.drills import catalog
from qcfeed.errors import ConfigError, InvalidSymbolError, NotFoundError, QcfeedError, UsageError
from qcfeed.metrics import memory
from qcfeed.metrics import prometheus_answers as answers
from qcfeed.model import market_hours, messages
from qcfeed.model import symbol as symbols
from qcfeed.model.feeds import Feeds
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.messages import Quote
from qcfeed.model.tasks import Tasks
from qcfeed.net import listen
from qcfeed.upstreams import coinbase_messages, registry, replay
from qcfeed.upstreams.coinbase_book import Product
from qcfeed.ws import extensions, inbound
from qcfeed.ws.handshake import check_upgrade
from qcfeed.ws.refusal import Refusal
from qcfeed.ws.request_head import HeadReader
from tests.fuzz import access, control
from tests.fuzz.target import KIB, MIB, Target, directory, file_of, pieces, text_of

MAX_MESSAGE = 65_536


# ---------------------------------------------------------------- subscribers


def request_head(raw: bytes) -> None:
    reader = HeadReader()
    try:
        for piece in pieces(raw):
            head = reader.feed(piece)
            if isinstance(head, Refusal):
                head.response()
                return
            if head is not None:
                decision = check_upgrade(head) if head.is_websocket_endpoint else None
                if isinstance(decision, Refusal):
                    decision.response()
                return
    finally:
        reader.close()


def frames(raw: bytes) -> None:
    reader = inbound.Inbound(MAX_MESSAGE, compressed=raw[:1] < b"\x80")
    for piece in pieces(raw):
        inbound.parse_bare_frame(piece)
        for event in reader.feed(piece):
            assert not isinstance(event, inbound.TextMessage) or len(event.text) <= MAX_MESSAGE
            if isinstance(event, inbound.Violation) and event.final:
                return


def client_request(raw: bytes) -> None:
    for name in messages.decode_request(raw.decode()).symbols:
        symbols.parse(name)


def symbol(raw: bytes) -> None:
    try:
        symbols.parse_path_segment(raw)
    except InvalidSymbolError:
        symbols.parse(text_of(raw))


def offer(raw: bytes) -> None:
    extensions.negotiate(raw)


# ---------------------------------------------------------------- servers


def server_message(raw: bytes) -> None:
    """What `watch` does with a message."""
    latest, gaps = LatestQuotes([symbols.parse("AAPL")]), GapDetector()
    for line in raw.decode().split("\n"):
        message = messages.decode(line)
        if isinstance(message, Quote):
            gaps.check(message)
        latest.apply(Received(line, message), 100.0)
        latest.states(101.0)


def refusal(raw: bytes) -> None:
    status, _, rest = raw.partition(b"\n")
    after, _, body = rest.partition(b"\n")
    number = int(status) if status.isdigit() and len(status) == 3 else 503
    refusals.from_http("ws://peer", number, body, after.decode("latin-1"))
    refusals.from_close(number * 10, text_of(body))


def prometheus(raw: bytes) -> None:
    kinds = (answers.QueryData, answers.AlertsData, answers.RulesData, answers.BuildData)
    _, body = answers.check(raw[1:], is_query=raw[:1] < b"\x80")
    answers.decode(body, kinds[(raw[0] if raw else 0) % len(kinds)])


def coinbase(raw: bytes) -> None:
    """Messages, one per line, for one product's book."""
    product = Product()
    for line in raw.split(b"\n"):
        message = coinbase_messages.decode(line)
        if isinstance(message, coinbase_messages.ProductMessage):
            product.apply(message, "2024-03-20T02:15:00Z")


# ---------------------------------------------------------------- files


def recording(raw: bytes) -> None:
    replay.load(file_of(raw))


def saved_file(raw: bytes) -> None:
    """What `--from` reads: snapshots, answers, bundles."""
    path = file_of(raw)
    try:
        saved_files.read(path, TASKS, Tasks)
    except NotFoundError:
        saved_files.read(path, FEEDS, Feeds)


def configuration(raw: bytes) -> None:
    path = file_of(raw)
    load_group(Config, {}, environment={}, file=path)
    contexts.read(environment={}, file=path)


def cgroup(raw: bytes) -> None:
    """The process's groups; the first line is the limit of each."""
    limit, _, groups = raw.partition(b"\n")
    for name in ("memory.max", "memory.limit_in_bytes"):
        directory().joinpath(name).write_bytes(limit)
    assert memory.find_limit(file_of(groups), directory(), 2**40).bytes <= 2**40


# ---------------------------------------------------------------- options and requests


def hours(raw: bytes) -> None:
    session = market_hours.parse(text_of(raw))
    if session is not None:
        session.is_open(datetime(2026, 11, 30, 21, 0, tzinfo=UTC))


def server_url(raw: bytes) -> None:
    endpoint.parse(text_of(raw))


def upstream_url(raw: bytes) -> None:
    async def connect() -> None:
        await registry.connect(text_of(raw)).close()

    asyncio.run(connect())


def listen_address(raw: bytes) -> None:
    listen.parse_address(text_of(raw), "--admin-listen")


def drill(raw: bytes) -> None:
    catalog.parse(text_of(raw))


TARGETS = {
    each.name: each
    for each in (
        Target("request_head", request_head, words=(
            "GET /quotes/AAPL HTTP/1.1\r\n", "GET /stream?slow=conflate&compress=1 HTTP/1.1\r\n", "Host: a\r\n",
            "Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "\r\n\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            "CONNECT", "Transfer-Encoding: chunked\r\n", "Content-Length: ", "http://")),
        # A frame is parsed by wsproto, in Python, and may have six bytes.
        Target("frames", frames, calls=100, memory=200),
        Target("client_request", client_request, (*JSON_ERRORS, InvalidSymbolError), (
            '{"action":"subscribe","symbols":["AAPL"]}', '"action":"slow","policy":"conflate"', "unsubscribe", "ping")),
        Target("symbol", symbol, (InvalidSymbolError,), ("AAPL", "BRK.B", "%41", "..")),
        Target("offer", offer, words=(
            "permessage-deflate", "server_max_window_bits=", "client_max_window_bits", "server_no_context_takeover", ";", ",")),
        Target("server_message", server_message, JSON_ERRORS, (
            '{"type":"quote","symbol":"AAPL","bid":1.0,"bid_size":1,"ask":2.0,"ask_size":1,"last":1.5,"ts":"","epoch":"a","seq":1}',
            '{"type":"status","symbol":"AAPL","state":"stale","age_ms":16000}', '"conflated":', '"dropped":', "going_away", "error")),
        Target("refusal", refusal, words=('503\n5\n{"type":"error","code":"x","message":"y"}',)),
        Target("prometheus", prometheus, JSON_ERRORS, (
            '{"status":"success","data":{"result":[', '{"metric":{},"values":[[1.0,"1"]]}', '"alerts"', '"groups"', '"rules"',
            "null", '"NaN"', '"warnings"'), memory=400),
        Target("coinbase", coinbase, (ValueError,), (
            '{"type":"snapshot","product_id":"BTC-USD","bids":[["1","2"]],"asks":[["3","4"]]}',
            '{"type":"l2update","product_id":"BTC-USD","time":"2024-03-20T02:15:00Z","changes":[["buy","1","2"]]}',
            '"ticker"', '"heartbeat"', '"subscriptions"', '"error"', '"message":"', '"reason":"'), calls=100, memory=400),
        Target("recording", recording, (ConfigError,), (
            "100.5: ", '{"at":1.0,"message":', '{"ts":"2024-03-20T02:15:00Z","symbol":"AAPL","bid":1.0}'), calls=100, memory=400),
        # A bundle is decompressed, a thousandfold in the worst case, up to a limit of its own.
        Target("saved_file", saved_file, (UsageError,), ("qcfeed.tasks/1", "qcfeed.tasks.snapshot/3", '"schema"', "manifest.json"),
               calls=200, memory=4 * KIB, least_memory=4 * MIB),
        Target("configuration", configuration, (ConfigError,), (
            "port = 1\n", "[contexts.prod]\n", 'url = "http://127.0.0.1:1"\n', "linger = 1e9\n", "token_file", "[[", "'''"),
            calls=2_000, least_calls=200_000, memory=2 * KIB),
        Target("cgroup", cgroup, words=("0::/a/b\n", "5:memory:/x\n", "max"), calls=2_000, memory=2 * KIB),
        Target("hours", hours, (ValueError,), ("Mon-Fri 09:30-16:00 America/New_York", " except 2026-11-26", "UTC")),
        Target("server_url", server_url, (UsageError,), ("ws://127.0.0.1:8006", "wss://", "[::1]", "@")),
        Target("upstream_url", upstream_url, (ConfigError,), (
            "sim:?rate=10&seed=7", "coinbase:?silence=10", "coinbase+ws://h:1/?products=http://h/p", "replay:", "max", "&loop=1"),
            least_calls=200_000),  # an unknown scheme is looked for in every installed package
        Target("listen_address", listen_address, (ConfigError,), ("127.0.0.1:80", "[::1]:")),
        Target("drill", drill, (UsageError,), tuple(each.name for each in catalog.DRILLS)),
        Target("keys_file", access.keys_file, (ConfigError,), (
            '{"schema":"qcfeed.keys/1","keys":[', '"name":"desk"', '"sha256":"', '"created":"2026-11-30T00:00:00Z"', '"symbols":["BTC-*"]')),
        Target("signing_key", access.signing_key, (ConfigError,), ("-----BEGIN PUBLIC KEY-----\n", "-----END PUBLIC KEY-----\n")),
        Target("key_set", access.key_set, (ConfigError,), (
            '{"keys":[', '{"kty":"OKP","crv":"Ed25519","x":"', '{"kty":"RSA","n":"', '"e":"AQAB"', '"kid":"a"', '"use":"sig"', '"alg":"RS256"'),
            calls=500),
        Target("token", access.token, (Denied,), ("eyJhbGciOiJIUzI1NiJ9.", ".", "e30")),
        Target("claims", access.claims, (Denied,), ('"exp":2000000000', '"aud":"qcfeed"', '"symbols":["BTC-*"]', '"nbf":', "1e999", "NaN")),
        Target("proxy_header", access.proxy_header, words=(
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY UNKNOWN\r\n", "\r\n\r\n\x00\r\nQUIT\n")),
        Target("forwarded", access.forwarded, words=(
            "Forwarded: ", 'for="[2001:db8::1]:80"', "for=192.0.2.1;proto=https", "X-Forwarded-For: ", "127.0.0.1, ")),
        Target("networks", access.networks, (ValueError,), ("10.0.0.0/8", "::1", "/", ", ")),
        Target("browser", access.browser, words=("https://example.org", ":443", "localhost", "[::1]", "null", "*")),
        Target("client_address", access.client_address, (ValueError,), ("::ffff:1.2.3.4", "fe80::1%eth0", "2001:db8::")),
        Target("control_answer", control.answer, (QcfeedError,), (
            "HTTP/1.0 200 OK\r\n", "Content-Length: ", "\r\n\r\n", '{"schema":"qcfeed.tasks.snapshot/3"}', '{"code":"x","message":"y"}'), memory=KIB),
        Target("control_request", control.request, JSON_ERRORS, (
            "/v1/tasks?limit=1", "by-location?", "by-label?key=kind", "show?serial=1", "tree?", "profile?", "ended?", "match=", "age="),
            calls=500, memory=2 * KIB, least_memory=8 * MIB),
    )
}  # fmt: skip
