"""What a service lacks that other machines reach, and what to type about it. No I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from qcfeed.access import browser_origin, trusted_proxies
from qcfeed.access.client_address import is_local
from qcfeed.access.client_limits import ClientLimits
from qcfeed.config import Config
from qcfeed.doctor.check import FAILED, PASSED, SKIPPED, Case, CheckResult, Skip
from qcfeed.model.status import ExposureGap
from qcfeed.net import listen

PAGE = "docs/how-to/exposing.md"


def is_exposed(config: Config) -> bool:
    """Whether other machines can reach the port for quotes, directly or through a proxy."""
    return not is_local(config.host) or bool(config.trusted_proxy)


def gaps(config: Config) -> list[ExposureGap]:
    """What an exposed service lacks, the worst first; empty if nothing, or if it is not exposed."""
    if not is_exposed(config):
        return []
    return [
        ExposureGap(topic=topic, problem=problem, remedy=remedy)
        for topic, rule in _RULES.items()
        for problem, remedy in rule(config)
    ]


Found = Iterator[tuple[str, str]]
"""The problem, and what to type."""


def _authentication(config: Config) -> Found:
    if not config.authenticates:
        yield (
            "anybody who reaches the port can subscribe: there is no authentication",
            "`qcfeed keys add NAME`, then --keys FILE; or --jwt-key FILE",
        )


def _encryption(config: Config) -> Found:
    if not config.trusted_proxy and not config.tls_cert:
        yield (
            "quotes and API keys cross the network unencrypted",
            "--tls-cert FILE --tls-key FILE; or a proxy that ends TLS, with --trusted-proxy CIDR",
        )
    for network in trusted_proxies.parse_networks(config.trusted_proxy):
        if network.prefixlen < 8:
            yield (
                f"--trusted-proxy {network} has addresses of the Internet, which can then claim any other",
                "name the proxies' own addresses only",
            )


def _limits(config: Config) -> Found:
    off = [
        f"--client-{each.name.replace('_', '-')}"
        for each in dataclasses.fields(ClientLimits)
        if getattr(config, f"client_{each.name}") == 0
    ]
    off += [] if config.request_rate else ["--request-rate"]
    if off:
        yield (
            f"one client can use up the service: no limit with {', '.join(off)} 0",
            ("omit these options, or give limits that no honest client meets"),
        )


def _admin(config: Config) -> Found:
    if config.metrics_token_file:
        return
    if config.admin_listen is None:
        yield (
            "whoever reaches the port for quotes can read /metrics",
            "--admin-listen 127.0.0.1:9006, or --metrics-token-file FILE",
        )
    elif not is_local(listen.parse_address(config.admin_listen, "--admin-listen")[0]):
        yield (
            f"whoever reaches --admin-listen {config.admin_listen} can read /metrics",
            "an address of an internal network, or --metrics-token-file FILE",
        )


def _page(config: Config) -> Found:
    if not config.page:
        return
    if not config.page_token_file:
        yield (
            "every user of this machine can see the status page, with the addresses of subscribers",
            "--page-token-file FILE",
        )
    elif config.admin_listen and not is_local(
        listen.parse_address(config.admin_listen, "--admin-listen")[0]
    ):
        yield (
            f"the token of the status page crosses the network unencrypted, to {config.admin_listen}",
            "--admin-listen 127.0.0.1:9006, and reach it with `ssh -L 9006:127.0.0.1:9006`",
        )


def _web_pages(config: Config) -> Found:
    if browser_origin.ANY in browser_origin.parse_list(config.allow_origin):
        yield (
            "pages of every web site may connect in their readers' browsers",
            "--allow-origin https://YOUR.SITE instead of *",
        )


def _tools(config: Config) -> Found:
    if config.drills_allowed:
        yield "drills may inject faults into this service", "omit --allow-drills and --drill"
    if config.monitor_console and config.monitor:
        yield (
            "every user of this machine can run code in the service, with --monitor-console",
            "omit --monitor-console",
        )
    elif config.monitor:
        yield (
            "every user of this machine can read tasks and stacks: aiomonitor asks for no password",
            "--no-monitor",
        )


_RULES: dict[str, Callable[[Config], Found]] = {
    "authentication": _authentication,
    "encryption": _encryption,
    "limits": _limits,
    "metrics": _admin,
    "status page": _page,
    "web pages": _web_pages,
    "tools": _tools,
}


def results(case: Case) -> list[CheckResult]:
    """The checks of `doctor`: one for each gap, or one that passes."""
    try:
        found, address = case.service.exposure, case.service.listening.websocket
    except Skip:
        try:
            config = case.config
        except Skip as skip:
            return [CheckResult("exposure", SKIPPED, skip.reason, skip.next)]
        found, address = gaps(config), f"{config.host}:{config.port}"
    if not found:
        return [CheckResult("exposure", PASSED, f"{address} lacks nothing that {PAGE} lists")]
    return [
        CheckResult(f"exposed: {gap.topic}", FAILED, f"{address}: {gap.problem}", gap.remedy)
        for gap in found
    ]
