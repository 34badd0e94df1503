from __future__ import annotations

import asyncio
import logging
import threading

import msgspec
import pytest

from qcfeed import errors
from qcfeed.control import dispatch
from qcfeed.control.actions import Actions
from qcfeed.control.audit import AuditLog, Caller
from qcfeed.control.routes import ActionRoute, NoQuery, ReadRoute
from qcfeed.diagnostics.loop_watch import LoopWatch
from qcfeed.model.answer import Answer, ErrorAnswer
from qcfeed.net.descriptors import Reserve
from tests.support.patience import PATIENCE

CALLER = Caller("socket", 0, "root", 1)


@pytest.fixture
async def ask(tmp_path):
    """Asks a dispatcher that lives in the loop it watches; gives status and JSON."""
    watch = LoopWatch()
    watch.start(asyncio.get_running_loop())
    actions = Actions(asyncio.get_running_loop(), watch, AuditLog(tmp_path / "log"), grace=1)

    async def ask(route, method="GET", path="/x", params=None, body=b""):
        dispatcher = dispatch.Dispatcher([route], "8006", watch, actions, Reserve(0))
        status, raw = await dispatcher.reply(method, path, params or {}, body, CALLER)
        return status, msgspec.json.decode(raw)

    yield ask
    await actions.close()
    watch.stop()


class Echo(Answer, tag="test.echo/1"):
    said: str


class Query(msgspec.Struct, forbid_unknown_fields=True):
    word: str
    times: int = 1
    loud: bool = False


def echo(query: Query) -> Echo:
    return Echo(said=(query.word.upper() if query.loud else query.word) * query.times)


READ = ReadRoute("/x", Query, echo)


async def test_parameters_are_converted(ask):
    status, answer = await ask(READ, params={"word": "ab", "times": "2", "loud": "true"})
    assert (status, answer["said"]) == (200, "ABAB")
    assert (answer["schema"], answer["instance"]) == ("test.echo/1", "8006")
    assert "loop_stack" not in answer


@pytest.mark.parametrize(
    "params", [{}, {"word": "a", "times": "x"}, {"word": "a", "more": "1"}, {"\udcff": "1"}]
)
async def test_parameters_refused(ask, params):
    status, answer = await ask(READ, params=params)
    assert (status, answer["code"]) == (400, "usage")
    assert answer["hint"] == "its parameters are: word, times, loud"


async def test_an_action(ask):
    async def handle(query: Query) -> Echo:
        return echo(query)

    act = ActionRoute("/x", "echo", Query, handle)
    status, answer = await ask(act, "POST", body=b'{"word":"ab"}')
    assert (status, answer["said"]) == (200, "ab")
    assert (await ask(act, "GET"))[0] == 404
    assert (await ask(act, "POST", body=b'{"word":1}'))[0] == 400


async def test_a_read_that_takes_too_long_times_out(ask, monkeypatch):
    monkeypatch.setattr(dispatch, "READ_TIMEOUT", 0.05)
    over = threading.Event()

    def slow(_: NoQuery) -> Answer:
        over.wait(PATIENCE)
        return Answer()

    status, answer = await ask(ReadRoute("/x", NoQuery, slow))
    over.set()
    assert (status, answer["code"]) == (504, "timed_out")


async def test_a_bug_is_logged_and_reported_to_the_caller(ask, caplog):
    def broken(_: NoQuery) -> Answer:
        return 1 / 0

    with caplog.at_level(logging.ERROR):
        status, answer = await ask(ReadRoute("/x", NoQuery, broken))
    assert (status, answer["code"]) == (500, "bug")
    assert "ZeroDivisionError" in answer["message"]
    assert "in broken" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UsageError("x"), 400),
        (errors.InvalidSymbolError("x"), 400),
        (errors.NotFoundError("x"), 404),
        (errors.NotAllowedError("x"), 403),
        (errors.NeedsConfirmationError("x"), 409),
        (errors.UnreachableError("x"), 503),
        (errors.TimedOutError("x"), 504),
        (RuntimeError("\udcff"), 500),
    ],
)
def test_http_status(error, status):
    found, raw = dispatch.refused(error)
    assert found == status
    assert msgspec.json.decode(raw, type=ErrorAnswer).message


async def test_secrets_are_removed_on_request_or_if_the_route_requires_it(ask, monkeypatch):
    monkeypatch.setenv("FEED_TOKEN", "sesame-open")
    word = {"word": "by sesame-open, password=x1"}
    clean = "by [redacted], password=[redacted]"
    assert (await ask(READ, params=word))[1]["said"] == word["word"]
    _, told = await ask(READ, params=word | {"redacted": "1"})
    assert (told["said"], told["schema"]) == (clean, "test.echo/1")
    always = ReadRoute("/x", Query, echo, redacted=True)
    assert (await ask(always, params=word))[1]["said"] == clean
