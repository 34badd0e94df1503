from __future__ import annotations

from pathlib import Path

import pytest

from qcfeed import config
from qcfeed.cli import main
from qcfeed.errors import ExitStatus
from qcfeed.service import run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[config.Config]:
    """What would have been served: the service itself is tried in tests/e2e."""
    configs: list[config.Config] = []

    def serve(given: config.Config, _: config.NatsConfig) -> int:
        configs.append(given)
        return 0

    monkeypatch.setattr(run, "serve", serve)
    return configs


def test_every_option_is_a_flag_with_its_default_and_variable() -> None:
    page = " ".join(main.load("serve").get_help(main.Context(main.load("serve"))).split())
    for option in config.options():
        if option.name == "instance":
            continue
        assert f"{option.flag} " in page
        assert f"${option.variable}]" in page.replace(" ", "")
    assert "[default:8006;$QCFEED_PORT]" in page.replace(" ", "")


def test_only_flags_that_were_given_are_passed_on(
    served, qcfeed_, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QCFEED_LINGER", "1.5")
    left = qcfeed_("--instance", "drill", "serve", "--port", "0", "--no-monitor")
    assert left.status == ExitStatus.OK, left.err
    [given] = served
    assert (given.instance, given.port, given.monitor, given.linger) == ("drill", 0, False, 1.5)
    assert given == config.Config(instance="drill", port=0, monitor=False, linger=1.5)


def test_the_configuration_file_is_named_before_the_command(
    served, qcfeed_, tmp_path: Path
) -> None:
    file = tmp_path / "qcfeed.toml"
    file.write_text("port = 9\nmonitor = false\n")
    assert qcfeed_("--config", str(file), "serve", "--monitor").status == ExitStatus.OK
    assert (served[0].port, served[0].monitor) == (9, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["serve", "--port", "-1"], "--port is -1"),
        (["serve", "--port", "x"], "'x' is not a whole number"),
        (["serve", "--prt", "1"], "No such option: --prt. Did you mean --port?"),
        (["--config", "/nowhere.toml", "serve"], "configuration file /nowhere.toml does not exist"),
        (["serve", "--dead-after", "1"], "staleness bands are out of order"),
    ],
)
def test_a_bad_setting_is_exit_2_and_serves_nothing(
    served, qcfeed_, args: list[str], said: str
) -> None:
    left = qcfeed_(*args)
    assert left.status == ExitStatus.USAGE
    assert said in left.err
    assert served == []
