"""The client's address behind trusted proxies: nothing that a client sends itself is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access import trusted_proxies
from qcfeed.access.forwarded import MAX_HOPS, Hop, parse_address, parse_forwarded, parse_x_forwarded
from qcfeed.access.trusted_proxies import Origin, TrustedProxies, parse_networks

PROXIES = TrustedProxies(parse_networks("10.0.0.0/8, 127.0.0.1,2001:db8:ffff::/48"))
PROXY = ("10.0.0.1", 40_000)


def client(peer: tuple[str, int] = PROXY, **headers: bytes) -> Origin | None:
    return PROXIES.origin(peer, {k.replace("_", "-").encode(): v for k, v in headers.items()})


def test_a_stranger_is_not_believed():
    said = b"198.51.100.1"
    assert client(("203.0.113.9", 5), x_forwarded_for=said) == Origin("203.0.113.9", 5)
    assert client(("203.0.113.9", 5), forwarded=b"for=" + said) == Origin("203.0.113.9", 5)


@pytest.mark.parametrize(
    ("header", "host"),
    [
        (b"203.0.113.7", "203.0.113.7"),
        (b"198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (b"198.51.100.1, 203.0.113.7, 10.2.3.4", "203.0.113.7"),
        (b"10.9.9.9, 10.2.3.4", "10.9.9.9"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"[2001:db8::1]:80", "2001:db8::1"),
        (b"::ffff:203.0.113.7", "203.0.113.7"),
        (b"203.0.113.7:1234", "203.0.113.7"),
        (b"198.51.100.1, unknown", "10.0.0.1"),
        (b"198.51.100.1, unknown, 10.2.3.4", "10.2.3.4"),
        (b"", "10.0.0.1"),
        (b"203.0.113.7,", "10.0.0.1"),
        (b"localhost", "10.0.0.1"),
        (b"127.1", "10.0.0.1"),
        (b"fe80::1%eth0", "10.0.0.1"),
    ],
)
def test_the_list_is_read_from_the_right_through_trusted_proxies(header: bytes, host: str):
    found = client(x_forwarded_for=header)
    assert found is not None
    assert found.host == host


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"for=203.0.113.7", Origin("203.0.113.7", 0)),
        (b'For="[2001:db8::7]:4711";proto=https', Origin("2001:db8::7", 4711, "https")),
        (b"for=198.51.100.1, for=203.0.113.7;by=10.0.0.1", Origin("203.0.113.7", 0)),
        (b"for=203.0.113.7;host=a.example;proto=https, for=10.1.1.1;proto=http",
         Origin("203.0.113.7", 0, "https", "a.example")),
        (b"for=198.51.100.1, for=_hidden", Origin("10.0.0.1", 40_000)),
        (b'for="203.0.113.7, for=192.0.2.1', Origin("192.0.2.1", 0)),
        (b'for="open, for=192.0.2.1', Origin("192.0.2.1", 0)),
        (b"for=192.0.2.1;;x", Origin("10.0.0.1", 40_000)),
    ],
)  # fmt: skip
def test_forwarded_is_read_like_it(header: bytes, expected: Origin):
    assert client(forwarded=header) == expected


def test_two_headers_that_contradict_each_other_are_refused():
    """A proxy that writes one of them passes the other on as the client sent it."""
    assert client(x_forwarded_for=b"203.0.113.7", forwarded=b"for=198.51.100.1") is None
    assert client(x_forwarded_for=b"203.0.113.7", forwarded=b"for=203.0.113.7") is not None


def test_scheme_and_host_come_from_the_nearest_proxy_that_tells_them():
    found = client(
        x_forwarded_for=b"203.0.113.7, 10.2.2.2",
        x_forwarded_proto=b"https",
        x_forwarded_host=b"quotes.example",
    )
    assert found == Origin("203.0.113.7", 0, "https", "quotes.example")
    assert client(x_forwarded_proto=b"https") == Origin(*PROXY, "https")
    assert client(("203.0.113.9", 5), x_forwarded_proto=b"https") == Origin("203.0.113.9", 5)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "example.com", "10.0.0.1/8/8", "::/129"])
def test_a_network_that_is_none_is_named(text: str):
    with pytest.raises(ValueError, match="is not an address or network"):
        parse_networks(f"127.0.0.1, {text}")


def test_an_ipv6_proxy_may_be_trusted():
    assert PROXIES.trusts("2001:db8:ffff::1")
    assert not PROXIES.trusts("2001:db8:fffe::1")
    assert not PROXIES.trusts("not an address")
    assert not TrustedProxies(()).trusts("127.0.0.1")
    assert not TrustedProxies(())


@given(st.binary(max_size=3_000), st.binary(max_size=3_000))
def test_no_bytes_raise_and_the_hops_are_bounded(first: bytes, second: bytes):
    for hops in (
        parse_forwarded(first),
        parse_x_forwarded({b"x-forwarded-for": first, b"x-forwarded-proto": second}),
        parse_x_forwarded({b"x-forwarded-host": second}),
    ):
        assert len(hops) <= MAX_HOPS
        assert all(hop.host == "" or parse_address(hop.host) for hop in hops)
    found = client(x_forwarded_for=first, forwarded=second)
    assert found is None or found.host


ADDRESSES = st.ip_addresses().filter(lambda each: getattr(each, "ipv4_mapped", None) is None)


@given(st.lists(st.tuples(ADDRESSES, st.integers(1, 65_535)), min_size=1, max_size=8))
def test_what_proxies_write_is_read_back(chain: list[tuple[object, int]]):
    def quoted(host: object, port: int) -> str:
        return f'"[{host}]:{port}"' if ":" in str(host) else f'"{host}:{port}"'

    value = ", ".join(f"for={quoted(*each)};proto=https" for each in chain).encode()
    expected = [Hop(str(host), port, "https") for host, port in chain][::-1]
    assert list(parse_forwarded(value)) == expected


@given(st.binary(max_size=500), ADDRESSES)
def test_nothing_to_the_left_changes_what_the_nearest_proxy_says(junk: bytes, address: object):
    """The proxy appends the address from which the client connected to whatever the client sent."""
    appended = str(address).encode()
    if PROXIES.trusts(str(address)):
        return
    found = client(x_forwarded_for=junk + b", " + appended)
    assert found is not None
    assert found.host == str(address)
    quoted = b'"[' + appended + b']"' if b":" in appended else appended
    found = client(forwarded=junk + b", for=" + quoted)
    assert found is not None
    assert found.host == str(address)


def test_a_list_of_any_length_costs_a_bounded_number_of_hops():
    hops = parse_x_forwarded({b"x-forwarded-for": b"10.0.0.2," * 2_000 + b"10.0.0.3"})
    assert len(hops) == MAX_HOPS
    assert trusted_proxies.TrustedProxies(parse_networks("10.0.0.0/8")).origin(
        PROXY, {b"x-forwarded-for": b"10.0.0.2," * 2_000 + b"10.0.0.3"}
    ) == Origin("10.0.0.2", 0)
