"""Suggested commands are for the service, or the file, that the command line named."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from qcfeed.cli import target

FILE = Path("/tmp/of the night.tar.gz")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    target.name_service(())


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("qcfeed orphans --reap", "qcfeed --context prod orphans --reap"),
        ("qcfeed --timeout 60 status", "qcfeed --context prod --timeout 60 status"),
        ("qcfeed --instance other status", "qcfeed --instance other status"),
        ("qcfeed -i other status", "qcfeed -i other status"),
        ("qcfeed runbook QcfeedOrphanedTasks", "qcfeed runbook QcfeedOrphanedTasks"),
        ("qcfeed serve --allow-drills", "qcfeed serve --allow-drills"),
        ("qcfeed feeds --help", "qcfeed feeds --help"),
        ("qcfeed --version", "qcfeed --version"),
        ("qcfeed --instance NAME ...", "qcfeed --instance NAME ..."),
        ("qcfeed COMMAND -o json", "qcfeed COMMAND -o json"),
    ],
)
def test_a_command_is_for_the_service_that_was_named(command: str, wanted: str) -> None:
    assert target.addressed(command) == command, "unchanged if none was named"
    target.name_service([("--context", "prod")])
    assert target.addressed(command) == wanted


def test_the_configuration_file_is_part_of_the_name() -> None:
    target.name_service([("--context", "prod")], Path("/etc/my qcfeed.toml"))
    assert target.program() == "qcfeed --config '/etc/my qcfeed.toml' --context prod"
    assert target.addressed("qcfeed config check") == (
        "qcfeed --config '/etc/my qcfeed.toml' config check"
    )


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("qcfeed feeds -o wide", "qcfeed feeds -o wide --from '/tmp/of the night.tar.gz'"),
        ("qcfeed --instance x tasks # all", "qcfeed tasks --from '/tmp/of the night.tar.gz' # all"),
        ("qcfeed runbook X", "qcfeed runbook X"),
        ("qcfeed orphans --reap", None),
        ("qcfeed feeds cancel AAPL", None),
        ("qcfeed tasks cancel 1", None),
        ("qcfeed tasks --window 30s", None),
        ("qcfeed subscribers kick --slow", None),
        ("qcfeed drill stop", None),
        ("qcfeed doctor", None),
    ],
)
def test_of_a_file_only_reading_commands_are_suggested(command: str, wanted: str | None) -> None:
    target.read_from(FILE, target.READERS)
    assert target.addressed(command) == wanted
    text = target.in_text(f"next: `{command}`")
    assert text == (None if wanted is None else f"next: `{wanted}`")


def test_an_action_on_a_file_becomes_the_list_of_what_it_would_act_on() -> None:
    target.read_from(FILE, target.READERS)
    suggested = ["qcfeed orphans", "qcfeed --context x orphans --reap", "qcfeed drill stop"]
    assert target.addressable(suggested) == [f"qcfeed orphans --from '{FILE}'"]


def test_what_the_file_does_not_have_is_not_suggested() -> None:
    target.read_from(FILE, ("tasks",))
    assert target.addressed("qcfeed feeds") is None
    assert target.addressed("qcfeed tasks --by-location") is not None


def test_times_of_a_file_are_not_told_from_now() -> None:
    taken = "2024-03-20T02:15:30.5Z"
    assert target.moment(90, taken) == "1m30s ago"
    assert target.retold("closed 3.4 s ago") == "closed 3.4 s ago"
    target.read_from(FILE, ())
    assert target.moment(90, taken) == "2024-03-20 02:14:00 UTC"
    assert target.retold("closed 3.4 s ago; 5m02s ago") == "closed 3.4 s before; 5m02s before"


async def test_hints_of_orphans_repeat_how_the_service_was_named(
    watched, qcfeed_, sleepers, tmp_path: Path
) -> None:
    control = watched.serve()
    sleepers(2, orphaned=True)
    config = tmp_path / "other.toml"
    config.write_text(f'[contexts.prod]\nsocket = "{control.socket}"\n')
    for named in (
        ["--instance", "8006"],
        ["--socket", str(control.socket)],
        ["--config", str(config), "--context", "prod"],
    ):
        left = await asyncio.to_thread(qcfeed_, *named, "orphans")
        assert f"`qcfeed {' '.join(named)} orphans --reap` cancels exactly these" in left.err
        refused = await asyncio.to_thread(qcfeed_, *named, "tasks", "show", "9999")
        assert f"`qcfeed {' '.join(named)} tasks`" in refused.err
    assert "`qcfeed orphans --reap`" in (await asyncio.to_thread(qcfeed_, "orphans")).err


async def test_orphans_of_a_file_say_as_of_first_and_suggest_no_action(
    watched, qcfeed_, sleepers, tmp_path: Path
) -> None:
    watched.serve()
    sleepers(3, orphaned=True)
    file = tmp_path / "orphans.json"
    file.write_text((await asyncio.to_thread(qcfeed_, "orphans", "-o", "json")).out)
    left = qcfeed_("orphans", "--from", str(file), "--limit", "1")
    assert left.err.startswith("as of 20")
    assert "--reap" not in left.err
    assert " ago" not in left.out + left.err
    assert left.out.count("is gone") == 1
    assert "1 of 3 orphans at that time" in left.err
    assert json.loads(qcfeed_("orphans", "--from", str(file), "-o", "json").out)["total"] == 3


async def test_reap_takes_no_limit_and_then_reaps_nothing(watched, qcfeed_, sleepers) -> None:
    watched.serve()
    tasks = sleepers(3, orphaned=True)
    left = await asyncio.to_thread(qcfeed_, "orphans", "--reap", "--limit", "1")
    assert left.status == 2
    assert "cannot be combined with --limit" in left.err
    assert not any(task.done() for task in tasks)


@pytest.mark.parametrize("file", [None, FILE])
@pytest.mark.parametrize("words", [(), (("--context", "prod"),), (("--socket", "/tmp/a b"),)])
@pytest.mark.parametrize("config", [None, "/etc/q.toml"])
def test_a_command_that_is_for_the_target_already_stays_as_it_is(
    file: Path | None, words: tuple[tuple[str, str], ...], config: str | None
) -> None:
    target.name_service(words, config)
    if file is not None:
        target.read_from(file, target.READERS)
    for command in ("qcfeed orphans", "qcfeed tasks -o json | jq .", "qcfeed config check"):
        once = target.addressed(command)
        assert once is not None
        assert target.addressed(once) == once
        assert target.in_text(f"next: `{once}`") == f"next: `{once}`"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("see `qcfeed feeds`", "see `qcfeed --instance 8006-2 feeds`"),
        ("`qcfeed --cluster orphans --reap`", "`qcfeed --cluster orphans --reap`"),
        ("`qcfeed runbook QcfeedNoOwner`", "`qcfeed runbook QcfeedNoOwner`"),
    ],
)
def test_a_suggestion_names_one_of_several_instances_where_that_means_something(
    text: str, named: str
) -> None:
    assert target.of_instance(text, "8006-2") == named


def test_the_commands_of_a_page_are_for_the_service_that_was_named() -> None:
    page = "See `qcfeed status`.\nqcfeed cannot.\n```\n$ qcfeed orphans --reap\n... `qcfeed tasks`\n```\nend"
    assert target.in_page(page) == page
    target.name_service([("--context", "prod")])
    assert target.in_page(page) == (
        "See `qcfeed --context prod status`.\nqcfeed cannot.\n```\n"
        "$ qcfeed --context prod orphans --reap\n... `qcfeed --context prod tasks`\n```\nend"
    )


def test_a_command_for_all_instances_does_not_name_one() -> None:
    with target.command_line():
        target.name_service([("--instance", "g")], "c.toml")
        assert (
            target.addressed("qcfeed --cluster orphans")
            == "qcfeed --config c.toml --cluster orphans"
        )
