"""Which web pages may connect, and to which host names a loopback service answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access.browser_origin import (
    allows_host,
    allows_origin,
    is_origin,
    parse_list,
    split_host,
)

NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "allowed"),
    [
        ("http://127.0.0.1:8006", "127.0.0.1:8006", "", True),
        ("https://quotes.example", "quotes.example", "", True),
        ("https://quotes.example", "quotes.example:443", "https", True),
        ("HTTP://Quotes.Example:80", "quotes.example", "http", True),
        ("http://[::1]:8006", "[::1]:8006", "", True),
        ("https://quotes.example", "quotes.example", "http", False),
        ("http://quotes.example", "quotes.example", "https", False),
        ("http://127.0.0.1:8006", "127.0.0.1:8007", "", False),
        ("http://evil.example", "127.0.0.1:8006", "", False),
        ("http://127.0.0.1", "127.0.0.1:8006", "", False),
        ("http://quotes.example.evil.example", "quotes.example", "", False),
        ("http://evil@quotes.example", "quotes.example:80", "", False),
        ("null", "127.0.0.1:8006", "", False),
        ("", "127.0.0.1:8006", "", False),
        ("http://", "", "", False),
        ("http://127.0.0.1:8006, http://evil.example", "127.0.0.1:8006", "", False),
        ("http://127.0.0.1:8006", "", "", False),
        ("//127.0.0.1:8006", "127.0.0.1:8006", "", False),
    ],
)
def test_without_a_list_only_the_services_own_pages_may_connect(origin, host, scheme, allowed):
    assert allows_origin(origin, host, scheme, NONE) is allowed


def test_listed_origins_may_connect_and_a_star_is_everybody():
    listed = parse_list("https://desk.example/, null")
    assert allows_origin("https://DESK.example", "quotes.example", "", listed)
    assert allows_origin("null", "quotes.example", "", listed)
    assert not allows_origin("https://desk.example:8443", "quotes.example", "", listed)
    assert not allows_origin("http://desk.example", "quotes.example", "", listed)
    assert allows_origin("http://evil.example", "quotes.example", "", parse_list("*"))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8006", True),
        ("127.0.0.1", True),
        ("127.9.9.9:1", True),
        ("[::1]:8006", True),
        ("localhost:8006", True),
        ("LOCALHOST.", True),
        ("desk.localhost", True),
        ("", True),
        ("evil.com", False),
        ("evil.com:8006", False),
        ("localhost.evil.com", False),
        ("127.0.0.1.evil.com", False),
        ("notlocalhost", False),
        ("0.0.0.0:8006", False),
        ("[::1", False),
        ("[::zz]:1", False),
        ("evil.com@127.0.0.1", False),
        ("127.0.0.1,evil.com", False),
        ("127.0.0.1 evil.com", False),
        ("127.0.0.1:99999", False),
    ],
)
def test_a_loopback_service_answers_to_loopback_names_alone(host: str, allowed: bool):
    assert allows_host(host, NONE) is allowed


def test_listed_hosts_are_allowed_on_any_port():
    listed = parse_list("Quotes.example, other.example:8006")
    assert allows_host("quotes.example:1", listed)
    assert allows_host("other.example:8006", listed)
    assert not allows_host("other.example:8007", listed)
    assert allows_host("anything", parse_list("*"))


def test_the_form_of_an_origin():
    assert is_origin("https://desk.example:8443")
    for text in ("desk.example", "https://", "https://a/b", "https://a?b", "https://a:x"):
        assert not is_origin(text)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_raises(origin: str, host: str):
    assert allows_origin(origin, host, "", NONE) in (True, False)
    assert allows_host(host, NONE) in (True, False)
    assert len(split_host(host, 80)) == 2
    assert is_origin(origin) in (True, False)
