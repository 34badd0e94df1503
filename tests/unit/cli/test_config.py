from __future__ import annotations

import asyncio
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from qcfeed import config
from qcfeed.cli import config_file
from qcfeed.config import loading
from qcfeed.errors import ExitStatus

from .conftest import Left, Watched

Command = Callable[..., Left]


@pytest.fixture
def file() -> Path:
    """The file that is read when none is named."""
    path = loading.default_file(os.environ)
    path.parent.mkdir(parents=True)
    return path


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def test_every_option_is_shown_with_its_value_and_origin(
    qcfeed_: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("port = 7\nlinger = 2\nmonitor = false\n")
    monkeypatch.setenv("QCFEED_LINGER", "3")
    shown = rows(qcfeed_("config", "show", "--origin").out)
    assert set(shown) == {"OPTION", *(option.name for option in config.all_options())}
    assert shown["port"] == ["7", str(file)]
    assert shown["monitor"] == ["false", str(file)]
    assert shown["linger"] == ["3.0", "$QCFEED_LINGER"]
    assert shown["host"] == ['"127.0.0.1"', "default"]
    assert shown["audit_log"] == ["-", "default"]
    assert rows(qcfeed_("config", "show").out)["linger"] == ["3.0"]
    assert rows(qcfeed_("config", "show", "--origin", "--port", "9").out)["port"] == ["9", "--port"]
    answer = json.loads(qcfeed_("config", "show", "-o", "json").out)
    assert answer["schema"] == "qcfeed.config/1"
    assert {"name": "port", "value": 7, "origin": str(file)} in answer["options"]


def test_a_secret_is_never_shown(
    qcfeed_: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("prometheus_token = 'hunter2'\n")
    monkeypatch.setenv("QCFEED_PROMETHEUS_PASSWORD", "hunter2")
    for output in ("table", "wide", "json", "csv", "name"):
        left = qcfeed_("config", "show", "--origin", "-o", output)
        assert "hunter2" not in left.out + left.err
    shown = rows(qcfeed_("config", "show", "--origin").out)
    assert shown["prometheus_token"] == ['"***"', str(file)]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("coinbase+wss://me:hunter2@host:1/", "coinbase+wss://***@host:1/"),
        ("coinbase+ws://host/?api_key=hunter2&x=1", "coinbase+ws://host/?api_key=***&x=1"),
        ("sim:?rate=10&seed=7", "sim:?rate=10&seed=7"),
        ("replay:/a@b/c.jsonl", "replay:/a@b/c.jsonl"),
    ],
)
def test_credentials_in_the_upstreams_url_are_not_shown(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    monkeypatch.setenv("QCFEED_UPSTREAM", given)
    for output in ("table", "wide", "json", "csv"):
        left = qcfeed_("config", "show", "--origin", "-o", output)
        assert shown in left.out
        assert "hunter2" not in left.out + left.err


def test_a_secret_is_masked(qcfeed_: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QCFEED_PROMETHEUS_TOKEN", "hunter2")
    for output in ("table", "wide", "json", "csv"):
        left = qcfeed_("config", "show", "-o", output)
        assert "***" in left.out
        assert "hunter2" not in left.out + left.err


def test_the_first_file_sets_nothing_and_everything_can_be_uncommented() -> None:
    text = config_file.template()
    assert tomllib.loads(text) == {}
    plain = "\n".join(
        line[1:] for line in text.splitlines() if line.startswith("#") and line[1:2] != " "
    )
    uncommented = tomllib.loads(plain)
    assert uncommented.pop("contexts")["prod"].keys() == {
        "url", "token_file", "prometheus", "prometheus_token_file",
    }  # fmt: skip
    declared = {each.name: each.default for each in config.all_options()}
    assert uncommented == {name: "" if value is None else value for name, value in declared.items()}
    for option in config.all_options():
        assert f"# {'no flag' if option.secret else option.flag}, ${option.variable}" in text


def test_init_writes_where_it_will_be_read_and_replaces_nothing(qcfeed_: Command) -> None:
    path = loading.file_in_use(None)
    assert qcfeed_("config", "init").status == ExitStatus.OK
    assert path.read_text() == config_file.template()
    assert qcfeed_("config", "check").err.startswith(f"{path} is valid: 0 options set, 0 contexts")
    path.write_text("port = 1\n")
    again = qcfeed_("config", "init")
    assert again.status == ExitStatus.REFUSED
    assert path.read_text() == "port = 1\n"
    assert "--force" in again.err
    assert qcfeed_("config", "init", "--force").status == ExitStatus.OK
    assert path.read_text() == config_file.template()
    assert qcfeed_("config", "init", "-").out == config_file.template()


def test_init_where_nothing_can_be_written(qcfeed_: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    left = qcfeed_("config", "init", str(tmp_path / "file" / "config.toml"))
    assert left.status == ExitStatus.USAGE
    assert "cannot write" in left.err


MANY = """
prot = 1
linger = -1
port = 99999
market_hours = "x"
stale_after = "x"
prometheus_user = 3
[contexts.a]
ulr = "x"
[contexts.b]
url = "x"
socket = "x"
"""


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("prot = 1", ["sets 'prot', which is not an option\n  hint: did you mean 'port'?"]),
        ("port = 'x'", ["which is not a whole number"]),
        ("upstream = 'sym:'", ["has the unknown scheme 'sym'"]),
        ("upstream = 'replay:/nowhere'", ["/nowhere"]),
        ("port = ", ["is not valid TOML"]),
        ("linger = -1\n[contexts.a]\nulr = 'x'", ["--linger is -1", "sets 'ulr'"]),
        (
            MANY,
            [
                "'prot'",
                "--linger is -1",
                "--port is 99999",
                "--market-hours is 'x'",
                "stale_after",
                "prometheus_user",
                "sets 'ulr'",
                "sets socket and url",
            ],
        ),
    ],
)
def test_check_reports_every_error(
    qcfeed_: Command, file: Path, text: str, faults: list[str]
) -> None:
    file.write_text(text)
    left = qcfeed_("config", "check")
    assert (left.status, left.out) == (ExitStatus.USAGE, "")
    for fault in faults:
        assert fault in left.err
    assert left.err.count("is not valid TOML") <= 1


def test_check_of_a_good_file_and_of_none(qcfeed_: Command, file: Path) -> None:
    assert f"{file} does not exist: 0 options set, 0 contexts" in qcfeed_("config", "check").err
    file.write_text("port = 7\n[contexts.prod]\ninstance = 'x'\n")
    left = qcfeed_("config", "check", str(file))
    assert left.status == ExitStatus.OK
    assert f"{file} is valid: 1 option set, 1 context" in left.err


def test_contexts_are_listed(qcfeed_: Command, file: Path) -> None:
    left = qcfeed_("config", "contexts")
    assert (left.status, left.out) == (ExitStatus.OK, "")
    assert "no contexts" in left.err
    file.write_text("[contexts.prod]\nurl = 'http://127.0.0.1:1'\n[contexts.here]\ninstance='x'\n")
    left = qcfeed_("config", "contexts")
    assert rows(left.out)["prod"][0] == "http://127.0.0.1:1"
    assert qcfeed_("config", "contexts", "-o", "name").out.split() == ["prod", "here"]
    answer = json.loads(qcfeed_("config", "contexts", "-o", "json").out)
    assert answer["contexts"][1] == {"name": "here", "instance": "x"}


CONTEXT = """
prometheus = "http://of-the-file:9090"
prometheus_user = "of-the-file"
[contexts.prod]
instance = "x"
prometheus = "http://kim:hunter2@prod:9090"
prometheus_token_variable = "PROM_TOKEN"
prometheus_ca = "/prod.pem"
"""


def test_the_prometheus_of_a_context_is_shown_without_secrets(
    qcfeed_: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(CONTEXT)
    monkeypatch.setenv("PROM_TOKEN", "t0p-s3cret")
    for output in ("table", "wide", "json", "csv"):
        listed = qcfeed_("config", "contexts", "-o", output)
        shown = qcfeed_("--context", "prod", "config", "show", "--origin", "-o", output)
        said = listed.out + listed.err + shown.out + shown.err
        assert "t0p-s3cret" not in said
        assert "hunter2" not in said
    answer = json.loads(qcfeed_("config", "contexts", "-o", "json").out)
    assert answer["contexts"][0]["prometheus_token_variable"] == "PROM_TOKEN"
    shown = qcfeed_("--context", "prod", "config", "show", "--origin", "-o", "json")
    options = {each["name"]: each for each in json.loads(shown.out)["options"]}
    told = "prometheus", "prometheus_token", "prometheus_ca", "prometheus_user"
    assert [(options[name]["value"], options[name]["origin"]) for name in told] == [
        ("http://***@prod:9090", "--context prod"),
        ("***", "--context prod"),
        ("/prod.pem", "--context prod"),
        (None, "default"),
    ], "a user of the file's Prometheus is none of the context's"


def test_a_context_whose_secret_is_missing_or_open_is_found_by_a_check(
    qcfeed_: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("t0p-s3cret")
    token.chmod(0o644)
    file.write_text(f"""{CONTEXT}
[contexts.other]
prometheus_token_file = "{token}"
""")
    left = qcfeed_("config", "check")
    assert left.status == ExitStatus.USAGE
    assert "context prod takes prometheus_token from $PROM_TOKEN, which is not set" in left.err
    assert "export PROM_TOKEN=..." in left.err
    assert (
        f"[contexts.other] prometheus_token_file: every user on this machine can read {token}"
        in (left.err)
    )
    assert f"chmod o-rwx {token}" in left.err
    assert "t0p-s3cret" not in left.err
    monkeypatch.setenv("PROM_TOKEN", "t0p-s3cret")
    token.chmod(0o640)
    assert qcfeed_("config", "check").status == ExitStatus.OK


async def test_a_context_selects_the_service(
    qcfeed_: Command, file: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = watched.serve("one")
    watched.serve("two")
    text = f"[contexts.first]\nsocket = '{one.socket}'\n[contexts.second]\ninstance = 'two'\n"
    file.write_text(text)  # noqa: ASYNC240 - a test may wait for a file

    async def answered(*args: str) -> str:
        left = await asyncio.to_thread(qcfeed_, *args, "tasks", "-o", "json")
        assert left.status == ExitStatus.OK, left.err
        return str(json.loads(left.out)["instance"])

    assert await answered("--context", "first") == "one"
    assert await answered("--context", "second") == "two"
    monkeypatch.setenv("QCFEED_CONTEXT", "first")
    assert await answered() == "one"
    assert await answered("--instance", "two") == "two", "a flag silences the environment"
    assert qcfeed_("config", "contexts").status == ExitStatus.OK


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--context", "prd", "status"], "no context 'prd' in"),
        (["--context", "prod", "--instance", "x", "status"], "each name a service"),
        (["--context", "prod", "serve"], "--context prod names a running service"),
    ],
)
def test_a_context_that_is_unknown_or_ambiguous_is_a_usage_error(
    qcfeed_: Command, file: Path, args: list[str], said: str
) -> None:
    file.write_text("[contexts.prod]\ninstance = 'x'\n")
    left = qcfeed_(*args)
    assert left.status == ExitStatus.USAGE
    assert said in left.err


def test_check_says_what_an_exposed_service_lacks(
    qcfeed_: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCFEED_HOST", "0.0.0.0")
    left = qcfeed_("config", "check")
    assert left.status == ExitStatus.OK
    assert "exposed: anybody who reaches the port can subscribe" in left.err
    assert "next: --admin-listen 127.0.0.1:9006" in left.err
