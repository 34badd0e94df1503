"""A Prometheus that asks who is there: a real one with a user, and one behind a proxy that wants a token."""

from __future__ import annotations

import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from qcfeed.config import loading
from qcfeed.errors import ExitStatus
from tests.support.loopback_http import reply, serving
from tests.support.patience import PATIENCE
from tests.support.prometheus_server import needs_prometheus, prometheus

pytestmark = needs_prometheus

Call = Callable[..., Any]
PASSWORD, TOKEN = "of the night", "t0p-s3cret"
WEB = "basic_auth_users: {kim: '$2b$04$Eg7rHMiGtN8pT.9t7Wq6CuPD2/6ZAEbpQF9qY2Lmb0yyS607McGOa'}\n"
"""The hash (bcrypt) of PASSWORD."""
BASIC = "Basic " + b64encode(f"kim:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus, which lets kim in."""
    with prometheus(tmp_path_factory.mktemp("guarded"), web=WEB) as server:
        yield server.url


@pytest.fixture(scope="module")
def proxied(guarded: str) -> Iterator[str]:
    """A proxy before it, which lets in who has the token; 403 for one that it knows and does not like."""

    def answer(target: str, headers: Message) -> Iterator[bytes]:
        told = headers["Authorization"]
        if told != f"Bearer {TOKEN}":
            yield reply("{}", status=403 if told == "Bearer of-last-year" else 401)
            return
        asked = urllib.request.Request(guarded + target, headers={"Authorization": BASIC})
        with urllib.request.urlopen(asked, timeout=PATIENCE) as real:
            yield reply(real.read())

    with serving(answer) as url:
        yield url


def declare(**keys: str) -> None:
    """``[contexts.prod]`` with these keys, beside credentials that are another Prometheus'."""
    path = loading.file_in_use(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    path.write_text(f'prometheus_user = "nobody"\n[contexts.prod]\n{lines}')


def private(path: Path, text: str) -> str:
    path.touch(0o600)
    path.write_text(text)
    return str(path)


def alerts(qcfeed_: Call) -> Any:
    return qcfeed_("--context", "prod", "alerts")


def test_a_context_with_a_user(qcfeed_: Call, guarded: str, tmp_path: Path) -> None:
    file = private(tmp_path / "password", PASSWORD + "\n")
    declare(prometheus=guarded, prometheus_user="kim", prometheus_password_file=file)
    left = alerts(qcfeed_)
    assert left.status == ExitStatus.OK, left.err
    assert "has no alert rules loaded" in left.err

    private(tmp_path / "password", "of the day")
    left = alerts(qcfeed_)
    assert left.status == ExitStatus.UNREACHABLE
    assert f"Prometheus at {guarded} refused user kim (HTTP status 401)" in left.err
    assert f"is the password from {file} the right one?" in left.err
    assert "of the day" not in left.err


def test_a_context_with_a_token_in_a_file(qcfeed_: Call, proxied: str, tmp_path: Path) -> None:
    file = private(tmp_path / "token", TOKEN)
    declare(prometheus=proxied, prometheus_token_file=file)
    assert alerts(qcfeed_).status == ExitStatus.OK

    private(tmp_path / "token", "of-last-year")
    left = alerts(qcfeed_)
    assert left.status == ExitStatus.UNREACHABLE
    assert "refused the token (HTTP status 403)" in left.err
    assert f"is the token from {file} the right one, and still valid?" in left.err
    assert "of-last-year" not in left.err


def test_a_context_with_a_token_in_the_environment(
    qcfeed_: Call, proxied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(prometheus=proxied, prometheus_token_variable="PROM_TOKEN")
    left = alerts(qcfeed_)
    assert left.status == ExitStatus.USAGE
    assert "takes prometheus_token from $PROM_TOKEN, which is not set" in left.err
    checked = qcfeed_("--context", "prod", "doctor", "-o", "csv").out.splitlines()
    told = {line.split(",")[0]: line.split(",")[1] for line in checked}
    assert (told["prometheus"], told["rules"]) == ("failed", "skipped"), "it is said once"
    monkeypatch.setenv("PROM_TOKEN", TOKEN)
    assert alerts(qcfeed_).status == ExitStatus.OK


def test_a_context_without_a_prometheus_says_how_to_configure_one(
    qcfeed_: Call, proxied: str
) -> None:
    declare(prometheus=proxied)
    left = alerts(qcfeed_)
    assert left.status == ExitStatus.UNREACHABLE
    assert "refused a request without credentials (HTTP status 401)" in left.err, (
        "nobody of the file's was sent"
    )
    assert "--prometheus-token-file" in left.err
    assert "`qcfeed config init -`" in left.err


def test_a_file_that_everybody_can_read_is_not_used(
    qcfeed_: Call, proxied: str, tmp_path: Path
) -> None:
    file = private(tmp_path / "token", TOKEN)
    Path(file).chmod(0o644)
    declare(prometheus=proxied, prometheus_token_file=file)
    left = alerts(qcfeed_)
    assert left.status == ExitStatus.USAGE
    assert f"every user on this machine can read {file} (mode 644)" in left.err
    assert f"`chmod o-rwx {file}`" in left.err


def test_a_flag_names_another_and_gets_nothing_of_the_context(
    qcfeed_: Call, guarded: str, proxied: str, tmp_path: Path
) -> None:
    declare(prometheus=proxied, prometheus_token_file=private(tmp_path / "token", TOKEN))
    left = qcfeed_("--context", "prod", "alerts", "--prometheus", guarded)
    assert "refused user nobody" in left.err
