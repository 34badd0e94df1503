"""What an exposed service lacks, one gap at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qcfeed.config import Config
from qcfeed.doctor.exposure import PAGE, gaps, is_exposed

COMPLETE: dict[str, Any] = {
    "host": "0.0.0.0",
    "keys": "keys.json",
    "trusted_proxy": "10.0.0.0/8",
    "admin_listen": "127.0.0.1:9006",
    "monitor": False,
}


def test_a_service_on_loopback_lacks_nothing():
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.9"):
        assert not is_exposed(Config(host=host))
        assert gaps(Config(host=host, allow_drills=True)) == []


def test_a_complete_service_lacks_nothing():
    assert gaps(Config(**COMPLETE)) == []


def test_two_options_alone_leave_much_to_say():
    found = gaps(Config(host="0.0.0.0", admin_listen="127.0.0.1:9006"))
    assert [each.problem.split(":")[0].split(",")[0] for each in found] == [
        "anybody who reaches the port can subscribe",
        "quotes and API keys cross the network unencrypted",
        "every user of this machine can read tasks and stacks",
    ]
    assert all("--" in each.remedy for each in found)


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        ({"keys": None}, "no authentication", "qcfeed keys add"),
        ({"trusted_proxy": ""}, "unencrypted", "--tls-cert"),
        ({"trusted_proxy": "::/0"}, "claim any other", "own addresses"),
        ({"trusted_proxy": "0.0.0.0/0"}, "claim any other", "own addresses"),
        ({"client_connections": 0}, "--client-connections 0", "omit"),
        ({"request_rate": 0.0}, "--request-rate 0", "omit"),
        ({"admin_listen": None}, "can read /metrics", "--admin-listen"),
        ({"admin_listen": "0.0.0.0:9006"}, "0.0.0.0:9006 can read", "--metrics-token-file"),
        ({"page": True}, "see the status page", "--page-token-file"),
        (
            {
                "page": True,
                "page_token_file": "t",
                "admin_listen": "10.0.0.1:9006",
                "metrics_token_file": "t",
            },
            "token of the status page",
            "ssh -L",
        ),
        ({"allow_origin": "*"}, "every web site", "--allow-origin"),
        ({"allow_drills": True}, "drills", "--allow-drills"),
        ({"monitor": True}, "aiomonitor", "--no-monitor"),
        ({"monitor": True, "monitor_console": True}, "run code", "--monitor-console"),
    ],
)
def test_each_gap_is_told_with_what_to_type(change: dict[str, Any], problem: str, remedy: str):
    (found,) = gaps(Config(**COMPLETE | change))
    assert problem in found.problem
    assert remedy in found.remedy


def test_a_certificate_is_encryption_too():
    own = COMPLETE | {"trusted_proxy": "", "tls_cert": "cert.pem", "tls_key": "key.pem"}
    assert gaps(Config(**own)) == []


def test_a_service_behind_a_proxy_of_its_machine_is_exposed():
    config = Config(host="127.0.0.1", trusted_proxy="127.0.0.1")
    assert is_exposed(config)
    assert gaps(config)


def test_the_page_that_is_named_exists():
    assert (Path(__file__).parents[3] / PAGE).is_file()
