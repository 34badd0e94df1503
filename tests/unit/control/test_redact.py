from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.control.redact import GONE, answer, is_secret, redact, values

SECRET = "hunter2-and-more"


@pytest.mark.parametrize(
    "text",
    [
        f"wss://user:{SECRET}@feed.example/ws",
        f"https://{SECRET}@feed.example/",
        f"wss://feed.example/ws?token={SECRET}&symbol=AAPL",
        f"wss://feed.example/ws?api_key={SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization: basic {SECRET}",
        f"password={SECRET}",
        f"QCFEED_PROMETHEUS_PASSWORD={SECRET}",
        f"db_password: {SECRET}",
        f"accessToken = {SECRET}",
        json.dumps({"client_secret": SECRET}),
        json.dumps({"line": json.dumps({"apiKey": SECRET})}),
        f"connect(password='{SECRET}', host='x')",
    ],
)
def test_a_secret_as_people_write_them(text: str) -> None:
    told = redact(text)
    assert SECRET not in told
    assert GONE in told


@pytest.mark.parametrize(
    "text",
    [
        "qcfeed/drills/zombies.py:57",
        "tokens: 5, passes: 7, author=jane, authenticated: true",
        "ws://127.0.0.1:8006/quotes/AAPL",
        "password=None, token=null",
        "mail someone@example.com",
        "--prometheus-password-file",
        'location="qcfeed/control/auth.py:12"',
    ],
)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("name", ["password", "QCFEED_PROMETHEUS_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["prometheus_password_file", "TOKEN_PATH", "port", "PATH", "author"]
)
def test_names_that_are_none(name: str) -> None:
    assert not is_secret(name)


def test_secret_values_of_the_environment_are_removed_everywhere() -> None:
    environment = {
        "DB_PASSWORD": SECRET,
        "HOME": "/home/x",
        "PIN_TOKEN": "123",
        "A_TOKEN": SECRET + "x",
    }
    known = values(environment)
    assert known == [SECRET + "x", SECRET]
    assert redact(f"task {SECRET}x of {SECRET}", known) == f"task {GONE} of {GONE}"


def test_an_answer_keeps_its_form() -> None:
    told = {
        "schema": "qcfeed.tasks/1",
        "tasks": [
            {"name": f"wss://u:{SECRET}@h", "labels": {"token": SECRET, "n": "1"}, "serial": 7}
        ],
    }
    clean = json.loads(answer(json.dumps(told).encode(), ["qcfeed"]))
    assert clean == {
        "schema": "qcfeed.tasks/1",
        "tasks": [{"name": f"wss://{GONE}@h", "labels": {"token": GONE, "n": "1"}, "serial": 7}],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON)
def test_redacting_twice_changes_nothing_more(value: object) -> None:
    once = answer(json.dumps(value).encode())
    assert answer(once) == once


@given(st.sampled_from(["password", "token", "client_secret"]), st.text(min_size=1, max_size=20))
def test_the_whole_value_of_a_secret_field_is_removed(name: str, value: str) -> None:
    assert json.loads(answer(json.dumps({name: value}).encode())) == {name: GONE}
