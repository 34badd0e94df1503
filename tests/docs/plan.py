"""How the snippets of each page are run: what replaces what, what runs elsewhere, and what is not run, and why.

A snippet that nothing here names is run by test_snippets.py as it is.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.docs.snippets import ROOT
from tests.support import incident
from tests.support.certificates import Certificates
from tests.support.nats_server import nats_server
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import openmetrics, prometheus
from tests.support.shell import qcfeed, serving


class Elsewhere(NamedTuple):
    """Snippets that a test of their own runs. It takes them from the page, too."""

    page: str
    language: str
    test: str


class NotRun(NamedTuple):
    """Commands that no test types. ``qcfeed`` still has to take the line: its options are checked."""

    page: str
    command: str
    reason: str


EXPOSING = "docs/how-to/exposing.md"
UPSTREAMS = "docs/how-to/upstreams.md"
PROXIES = "tests/integration/service/test_behind_proxies.py"
DICE = "tests/e2e/test_upstream_of_another_package.py"
PROGRAMS = "tests/e2e/test_any_program.py"

ELSEWHERE = (
    Elsewhere(EXPOSING, "nginx", f"{PROXIES}::test_nginx_names_the_client_and_the_page"),
    Elsewhere(EXPOSING, "haproxy", f"{PROXIES}::test_haproxy_names_the_client_in_the_proxy_protocol"),
    Elsewhere(
        EXPOSING, "js",
        "tests/integration/service/test_browser.py::test_the_code_of_exposing_md_gets_quotes",
    ),
    Elsewhere(UPSTREAMS, "sh", f"{DICE}::test_it_passes_its_own_conformance_test"),
    Elsewhere(UPSTREAMS, "toml", f"{DICE}::test_it_passes_its_own_conformance_test"),
    Elsewhere(UPSTREAMS, "python", f"{DICE}::test_it_passes_its_own_conformance_test"),
    Elsewhere("docs/how-to/any-program.md", "console", f"{PROGRAMS}::test_an_aiohttp_application"),
)  # fmt: skip

_OTHER_PYTHON = "tests/integration/inject/test_attach_a_process.py types it, on a Python that can be attached to"
_LONG = "measures for minutes, on a quiet machine"
NOT_RUN = (
    NotRun("", r"(--pid|attach|detach|--instance pid-)\W*4711", _OTHER_PYTHON),
    NotRun("", r"^docker ", "needs Docker, which no test machine has"),
    NotRun("", r"^(kubectl|helm) ", "needs a cluster; the manifests are checked by Kubernetes' schemas"),
    NotRun("", r"^systemctl|/run/qcfeed/", "needs systemd as process 1; tests/e2e/test_systemd.py runs the unit"),
    NotRun("", r"^python -m benchmarks\.", _LONG),
    NotRun("", r"--instance lock_pile_up ", "follows a benchmark's command, which is not run"),
    NotRun("", r"^python -m timeit ", _LONG),
    NotRun("", r"^ssh ", "needs another machine"),
    NotRun("", r"^gh ", "asks GitHub about a release"),
    NotRun("", r"^export PATH=", "the tests have the program on their PATH"),
    NotRun("", r"^(python3? -m (build|venv)|/opt/qcfeed/bin/pip) ?", "tests/e2e/test_shipping.py builds and installs"),
    NotRun("", r"^pip install", "needs a package index; the tests run in an environment with all extras"),
    NotRun("", r"--workers 4|one row per process|--cluster feeds|workers restart|--instance 8006-2 tasks",
           "five processes: tests/e2e/test_workers.py runs them"),
    NotRun("", r"--reuse-port|--instance 8006-1 status", "tests/e2e/test_reuse_port.py runs it"),
    NotRun(EXPOSING, r"issuer\.example\.com", "needs an identity provider; tests/integration/service/test_key_set.py has one"),
    NotRun(EXPOSING, r"--trusted-proxy", f"{PROXIES} runs it behind each proxy"),
    NotRun("docs/how-to/kubernetes.md", "--from night", "the bundle comes out of a pod"),
    NotRun("docs/how-to/memory.md", "--from 8006-", "tests/integration/service/test_evidence.py reads one"),
    NotRun("docs/how-to/memory.md", "--trace", "asks first; tests/integration/control/test_memory_trace.py does it"),
    NotRun("docs/how-to/scale.md", r"^nats-server ", "the test has one, on a port from the kernel"),
)  # fmt: skip

RECORDED = {"docs/walkthrough.md"}
"""Pages that show a session as it was: figures differ, so only the first words of lines are compared."""

REPLACED = {
    "zombie-feeds=47829": "zombie-feeds=2000",
    "--cycles 1000": "--cycles 20",
    "qcfeed repro  ": "qcfeed repro --mode clean --cycles 20  ",
    "--ping-interval 3 --stall-timeout 3": "--ping-interval 1 --stall-timeout 1 --linger 0.2",
    "--window 1m": "--window 1s",
    "--trace 30s": "--trace 1s",
    "0.0.0.0": "127.0.0.1",
    "10.0.0.5": "127.0.0.1",
}
"""On every page: less of the same, which takes less time, and no port that other machines reach."""


def excused(page: str, command: str) -> str | None:
    """Why this command of the page is not run."""
    for each in NOT_RUN:
        if each.page in ("", page) and re.search(each.command, command):
            return each.reason
    return None


def patience(page: str) -> float:
    """Seconds in which a command may come to show what the page says. A leak is told after half a minute."""
    return 2 * PATIENCE


def same_lines(expected: str, got: str) -> str | None:
    """What is missing: more than a third of the first words of lines. None if the outputs are alike.

    Not all, because a recording has lines that another run need not have, such as "explains".
    """
    began = {line.split()[0] for line in got.splitlines() if line.strip()}
    unwrapped = [line for line in expected.splitlines() if re.match(r" {0,2}\S", line)]
    firsts = [line.split()[0] for line in unwrapped]
    words = {word for word in firsts if re.fullmatch(r"[A-Za-z-]{4,}", word)}
    missing = words - began
    return f"no line begins with {missing} in\n{got}" if len(missing) * 3 > len(words) else None


World = Callable[[Path], contextlib.AbstractContextManager[Mapping[str, str]]]


@contextlib.contextmanager
def _on_the_network(home: Path) -> Iterator[Mapping[str, str]]:
    """The files that a service needs which other machines reach."""
    made = Certificates(home / "etc")
    made.issue()
    made.cert.rename(home / "etc" / "fullchain.pem")
    made.key.rename(home / "etc" / "privkey.pem")
    yield {"/etc/qcfeed": str(home / "etc")}


@contextlib.contextmanager
def _with_tokens(home: Path) -> Iterator[Mapping[str, str]]:
    """The files that the page's contexts name."""
    directory = home / ".config" / "qcfeed"
    directory.mkdir(parents=True)
    for name in ("prod.token", "prod.prometheus", "operator"):
        (directory / name).touch(mode=0o600)
        (directory / name).write_text("secret\n")
    yield {}


@contextlib.contextmanager
def _with_a_service(home: Path) -> Iterator[Mapping[str, str]]:
    """A running service, and a bundle of evidence."""
    with serving(home, "--no-monitor"):
        saved = qcfeed(home, "report", "--bundle", str(home / "saved.tar.gz"))
        assert (home / "saved.tar.gz").exists(), saved.stderr
        yield {"8006-20240320T021500Z.tar.gz": "saved.tar.gz"}


@contextlib.contextmanager
def _with_nats(home: Path) -> Iterator[Mapping[str, str]]:
    with nats_server(home / "nats") as server:
        yield {"nats://127.0.0.1:4222": server.url}


@contextlib.contextmanager
def _with_the_incident(home: Path) -> Iterator[Mapping[str, str]]:
    with prometheus(home / "prometheus", history=openmetrics(incident.series())) as server:
        yield {"http://127.0.0.1:9090": server.url}


@contextlib.contextmanager
def _with_the_runbooks(home: Path) -> Iterator[Mapping[str, str]]:
    shutil.copytree(ROOT / "runbooks", home / "runbooks")
    yield {}


WORLDS: dict[str, World] = {
    EXPOSING: _on_the_network,
    "docs/how-to/deploying.md": _with_tokens,
    "docs/how-to/memory.md": _with_a_service,
    "docs/how-to/scale.md": _with_nats,
    "docs/how-to/writing-runbooks.md": _with_the_runbooks,
    "docs/walkthrough.md": _with_the_incident,
}
"""What surrounds the reader of a page, with what it replaces in the commands."""
