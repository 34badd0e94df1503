from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qcfeed.config import Config, options
from qcfeed.config.loading import load
from qcfeed.errors import ConfigError, ExitStatus


def write(directory: Path, text: str) -> Path:
    path = directory / "config.toml"
    path.write_text(text)
    return path


def test_later_sources_win_and_say_so(tmp_path: Path) -> None:
    file = write(tmp_path, "port = 1\nlinger = 2\nstale_after = 3.5\n")
    loaded = load({"port": 9}, environment={"QCFEED_PORT": "5", "QCFEED_LINGER": "6"}, file=file)
    assert (loaded.config.port, loaded.config.linger, loaded.config.stale_after) == (9, 6.0, 3.5)
    assert loaded.origins["port"] == "--port"
    assert loaded.origins["linger"] == "$QCFEED_LINGER"
    assert loaded.origins["stale_after"] == str(file)
    assert loaded.origins["host"] == "default"


def test_the_file_is_found_where_users_keep_it(tmp_path: Path) -> None:
    (tmp_path / "qcfeed").mkdir()
    write(tmp_path / "qcfeed", "port = 7\n")
    assert load({}, environment={"XDG_CONFIG_HOME": str(tmp_path)}).config.port == 7
    assert load({}, environment={"HOME": str(tmp_path / "nobody")}).config == Config()


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("prot = 1", "'prot', which is not an option", "did you mean 'port'?"),
        ("zzz = 1", "'zzz', which is not an option", "--help"),
        ("port = '1x'", "not a whole number", None),
        ("port = true", "not a whole number", None),
        ("monitor = 'maybe'", "not true or false", None),
        ("linger = nan", "not a number", None),
        ("linger = -1", "--linger is -1", None),
        ("host = 5", "not text", None),
        ("slow = 'drop'", "--slow is 'drop', but must be one of conflate, drop-oldest", None),
        ("port = ", "is not valid TOML", None),
        ("stale_after = 400", "out of order", "--stale-after <="),
    ],
)
def test_a_bad_file_is_one_clear_error(
    tmp_path: Path, text: str, says: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, environment={}, file=write(tmp_path, text))
    assert says in caught.value.message
    assert caught.value.exit_status is ExitStatus.USAGE
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load({}, environment={}, file=tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="does not exist"):
        load({}, environment={"QCFEED_CONFIG": str(tmp_path / "none.toml")})
    with pytest.raises(ConfigError, match="cannot read"):
        load({}, environment={}, file=tmp_path)


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("YES", True), ("true", True), ("0", False), ("No", False)]
)
def test_booleans_of_the_environment(text: str, value: bool) -> None:
    assert load({}, environment={"QCFEED_MONITOR": text}).config.monitor is value


def test_every_option_says_what_it_is_for_and_can_be_spelled_three_ways() -> None:
    declared = options()
    assert len({option.flag for option in declared}) == len(declared)
    for option in declared:
        assert option.help.endswith(".")
        assert option.flag.startswith("--")
        assert option.variable.startswith("QCFEED_")
        value: Any = option.default
        if value is not None:
            round_trip = load({}, environment={option.variable: str(value)})
            assert getattr(round_trip.config, option.name) == value
