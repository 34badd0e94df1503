"""Which addresses are one client."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access.client_address import client_of


def test_an_ipv4_address_is_a_client_of_its_own():
    assert client_of("203.0.113.7") == "203.0.113.7"


def test_all_addresses_of_an_ipv6_network_of_64_bits_are_one_client():
    assert client_of("2001:db8:0:1::2") == client_of("2001:db8:0:1:ffff::") == "2001:db8:0:1::/64"
    assert client_of("2001:db8:0:2::2") != client_of("2001:db8:0:1::2")


def test_an_ipv4_mapped_address_is_the_ipv4_address():
    assert client_of("::ffff:203.0.113.7") == client_of("::ffff:cb00:7107") == "203.0.113.7"


def test_a_zone_is_ignored():
    assert client_of("fe80::1%eth0") == client_of("fe80::2") == "fe80::/64"


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_belongs_to_one_client_that_contains_it(address: ipaddress.IPv6Address):
    client = client_of(str(address))
    if address.ipv4_mapped is None:
        assert address in ipaddress.ip_network(client)
    else:
        assert client == str(address.ipv4_mapped)
