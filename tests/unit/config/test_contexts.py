from __future__ import annotations

from pathlib import Path

import pytest

from qcfeed.config import contexts
from qcfeed.config.loading import load
from qcfeed.errors import ConfigError, NotFoundError


def write(directory: Path, text: str) -> Path:
    path = directory / "config.toml"
    path.write_text(text)
    return path


GOOD = """
port = 7
[contexts.prod]
url = "http://127.0.0.1:18007"
token_file = "~/prod.token"
prometheus = "http://127.0.0.1:9090"
[contexts.here]
instance = "8006"
[contexts."the only one"]
"""


def test_contexts_stand_beside_the_options(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    assert load({}, environment={}, file=file).config.port == 7
    found = contexts.read(environment={}, file=file)
    assert list(found) == ["prod", "here", "the only one"]
    prod = found["prod"]
    assert prod.path("token_file") == Path.home() / "prod.token"
    assert (prod.url, prod.prometheus) == ("http://127.0.0.1:18007", "http://127.0.0.1:9090")
    assert [each.service for each in found.values()] == [
        "http://127.0.0.1:18007", "8006", "the only service on this machine",
    ]  # fmt: skip
    assert contexts.find("here", environment={}, file=file) is not None


def test_a_secret_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    keys = "prometheus='http://p'\nprometheus_user='kim'\nprometheus_password_variable='PW'"
    file = write(tmp_path, f"[contexts.prod]\n{keys}\n[contexts.b]\nprometheus_token_file='~/t'\n")
    prod = contexts.find("prod", environment={}, file=file)
    assert prod.options({"PW": "secret"}) == {
        "prometheus": "http://p", "prometheus_user": "kim", "prometheus_password": "secret",
    }  # fmt: skip
    assert "secret" not in str(prod) + str(prod.public_settings())
    for missing in ({}, {"PW": ""}):
        with pytest.raises(ConfigError, match=r"from \$PW, which is not set") as caught:
            prod.options(missing)
        assert "`export PW=...`" in (caught.value.hint or "")
    other = contexts.find("b", environment={}, file=file)
    assert other.options({}) == {"prometheus_token_file": "~/t"}


def test_without_a_file_there_are_no_contexts(tmp_path: Path) -> None:
    nowhere = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert contexts.read(environment=nowhere) == {}
    with pytest.raises(
        NotFoundError, match=r"no context 'prod': .*config.toml declares no contexts"
    ):
        contexts.find("prod", environment=nowhere)


def test_an_unknown_context_is_an_error_that_lists_the_others(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        contexts.find("prd", environment={}, file=write(tmp_path, GOOD))
    assert "it declares here, prod, the only one" in caught.value.message
    assert "qcfeed config contexts" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("contexts = 1", "contexts is not a table", "[contexts.NAME]"),
        ("[contexts]\nprod = 1", "[contexts.prod] is not a table", "socket, url, instance"),
        ("[contexts.prod]\nulr = 'x'", "[contexts.prod] sets 'ulr'", "did you mean 'url'?"),
        ("[contexts.prod]\nzzz = 'x'", "which is not a key of a context", "the keys are socket"),
        ("[contexts.prod]\nurl = 5", "sets url to 5, which is not text", None),
        ("[contexts.prod]\nurl = ''", "sets url to '', which is not text", None),
        ("[contexts.a]\nurl='x'\nsocket='y'", "sets socket and url", "one of them"),
        ("[contexts.a", "is not valid TOML", None),
        (
            "[contexts.a]\nprometheus_token='x'",
            "sets prometheus_token: secrets do not belong in a context",
            "prometheus_token_file, or prometheus_token_variable",
        ),
        (
            "[contexts.a]\nprometheus_tokn_file='x'",
            "which is not a key of a context",
            "prometheus_token_file",
        ),
    ],
)
def test_an_invalid_context_is_a_clear_error(
    tmp_path: Path, text: str, says: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        contexts.read(environment={}, file=write(tmp_path, text))
    assert says in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")
