"""`config use-context`: the default service, in every command that names none."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcfeed.cli import config_edit, current_context
from qcfeed.cli.complete import live
from qcfeed.errors import ConfigError, ExitStatus

FILE = '# mine\nport = 9000\n\n[contexts.prod]\ninstance = "8006"\n\n[contexts.dev]\ninstance = "none"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "qcfeed" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(FILE)
    return path


def test_it_is_set_shown_and_unset(file: Path, qcfeed_: Callable[..., Any]) -> None:
    assert qcfeed_("config", "current-context").status == ExitStatus.USAGE
    left = qcfeed_("config", "use-context", "prod")
    assert left.status == ExitStatus.OK
    assert "ask prod now: 8006" in left.err
    assert '# mine\nport = 9000\ncurrent_context = "prod"\n' in file.read_text()
    assert qcfeed_("config", "current-context").out == "prod\n"
    assert "current context: prod" in qcfeed_("config", "path").err
    shown = json.loads(qcfeed_("config", "contexts", "-o", "json").out)
    assert shown["current_context"] == "prod"
    rows = [line.split()[:3] for line in qcfeed_("config", "contexts").out.splitlines()[1:]]
    assert rows == [["prod", "8006", "*"], ["dev", "none", "-"]]
    assert qcfeed_("config", "check").status == ExitStatus.OK
    assert qcfeed_("config", "show").status == ExitStatus.OK
    assert qcfeed_("config", "use-context", "--unset").status == ExitStatus.OK
    assert file.read_text().split() == FILE.split()
    assert qcfeed_("config", "current-context").status == ExitStatus.USAGE


def test_a_name_that_is_not_declared_is_refused(file: Path, qcfeed_: Callable[..., Any]) -> None:
    left = qcfeed_("config", "use-context", "nosuch")
    assert left.status == ExitStatus.USAGE
    assert "dev, prod" in left.err
    assert file.read_text() == FILE


@pytest.mark.parametrize("words", [(), ("prod", "--unset")], ids=("neither", "both"))
def test_a_name_or_unset_is_needed(
    file: Path, qcfeed_: Callable[..., Any], words: tuple[str, ...]
) -> None:
    assert qcfeed_("config", "use-context", *words).status == ExitStatus.USAGE
    assert file.read_text() == FILE


async def test_commands_ask_it_say_so_and_suggest_it(
    file: Path, watched: Any, qcfeed_: Callable[..., Any], sleepers: Any
) -> None:
    watched.serve()
    watched.serve("other")  # so that no service is the only one
    sleepers(2)
    await asyncio.sleep(0)
    await asyncio.to_thread(qcfeed_, "config", "use-context", "prod")
    left = await asyncio.to_thread(qcfeed_, "tasks", "--by-location")
    assert left.status == ExitStatus.OK, left.err
    assert left.err.count("context prod: 8006 (`qcfeed config use-context` set it)") == 1
    assert "context" not in (await asyncio.to_thread(qcfeed_, "-q", "tasks")).err
    gone = await asyncio.to_thread(qcfeed_, "tasks", "show", "999999")
    assert "`qcfeed --context prod tasks" in gone.err


async def test_what_is_named_on_the_command_line_or_in_the_environment_wins(
    file: Path, watched: Any, qcfeed_: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.serve("other")
    await asyncio.to_thread(qcfeed_, "config", "use-context", "dev")
    failed = await asyncio.to_thread(qcfeed_, "tasks")
    assert failed.status == ExitStatus.UNREACHABLE
    for words in (("--instance", "other"), ("-i", "other")):
        left = await asyncio.to_thread(qcfeed_, *words, "tasks")
        assert left.status == ExitStatus.OK, left.err
        assert "context" not in left.err
    monkeypatch.setenv("QCFEED_INSTANCE", "other")
    assert (await asyncio.to_thread(qcfeed_, "tasks")).status == ExitStatus.OK


def test_one_that_is_gone_is_named_with_the_way_out(
    file: Path, qcfeed_: Callable[..., Any]
) -> None:
    file.write_text(f'current_context = "gone"\n{FILE}')
    left = qcfeed_("status")
    assert left.status == ExitStatus.USAGE
    assert "no context 'gone'" in left.err
    assert "use-context" in left.err
    assert qcfeed_("config", "check").status == ExitStatus.USAGE
    assert qcfeed_("config", "use-context", "--unset").status == ExitStatus.OK


@pytest.mark.parametrize("value", ["3", "[]", '""'], ids=("number", "list", "empty"))
def test_a_value_that_is_no_name_is_an_error(
    file: Path, qcfeed_: Callable[..., Any], value: str
) -> None:
    file.write_text(f"current_context = {value}\n{FILE}")
    with pytest.raises(ConfigError, match="current_context"):
        current_context.named(None)
    assert qcfeed_("status").status == ExitStatus.USAGE


@pytest.mark.parametrize("text", [None, "port = 1\n"], ids=("absent", "without"))
def test_a_file_without_the_word_is_not_loaded(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "some.toml"
    if text is not None:
        path.write_text(text)
    assert current_context.named(path) is None
    assert current_context.named(tmp_path) is None


def test_completion_asks_it_too(file: Path) -> None:
    file.write_text(f'current_context = "dev"\n{FILE}')
    names = [name for name, _ in live.values("contexts", {}, dict(os.environ))]
    assert names == ["prod", "dev"]


def test_an_edit_removes_the_key_of_the_head_alone() -> None:
    text = 'a = 1\ncurrent_context = "x"\n\n[contexts.x]\ninstance = "current_context = 1"\n'
    assert config_edit.without(text, "current_context") == text.replace(
        'current_context = "x"\n', "", 1
    )
    assert config_edit.without(text, "nosuch") == text
