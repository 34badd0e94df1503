from __future__ import annotations

import pytest

from qcfeed.cli.complete import answer, line

OUTPUT = ("output", ["table", "json"], False, "How it is printed")
TABLE = {
    "": {
        "help": "",
        "commands": ["tasks", "watch"],
        "arguments": [],
        "options": {
            "--instance": ("instance", "instances", False, "Which"),
            "--help": ("help", None, False, "Help"),
        },
    },
    "tasks": {
        "help": "List",
        "commands": ["show"],
        "arguments": [],
        "options": {
            "-o": OUTPUT,
            "--output": OUTPUT,
            "--site": ("site", "locations", False, "Where"),
            "--label": ("label", "", True, "Whose"),
            "--tree": ("tree", None, False, "As a tree"),
        },
    },
    "tasks show": {
        "help": "One",
        "commands": [],
        "arguments": [("serials", False)],
        "options": {"-o": OUTPUT, "--output": OUTPUT},
    },
    "watch": {"help": "Quotes", "commands": [], "arguments": [("symbols", True)], "options": {}},
}


def at(typed: str) -> line.Cursor:
    return line.read(typed.split(" "), TABLE)


def choices(typed: str) -> list[str]:
    return [word for word, _ in at(typed).choices()]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", ["tasks", "watch"]),
        ("ta", ["tasks", "watch"]),
        ("-", ["--instance", "--help"]),
        ("--instance x ", ["tasks", "watch"]),
        ("--help --", ["--instance"]),
        ("tasks ", ["show"]),
        ("tasks --", ["-o", "--output", "--site", "--label", "--tree"]),
        ("tasks -o json --tree --", ["--site", "--label"]),
        ("tasks -ojson --", ["--site", "--label", "--tree"]),
        ("tasks --site=x --", ["-o", "--output", "--label", "--tree"]),
        ("tasks --label a=b --", ["-o", "--output", "--site", "--label", "--tree"]),
        ("tasks show 5 ", ["-o", "--output"]),
        ("tasks --strange --", ["-o", "--output", "--site", "--label", "--tree"]),
    ],
)
def test_possible_words_at_the_cursor(typed: str, expected: list[str]) -> None:
    assert at(typed).value is None
    assert choices(typed) == expected


@pytest.mark.parametrize(
    ("typed", "kind", "head", "word"),
    [
        ("--instance ", "instances", "", ""),
        ("--instance=ni", "instances", "--instance=", "ni"),
        ("tasks --site feed.py:6", "locations", "", "feed.py:6"),
        ("tasks --site=feed.py:6", "locations", "--site=", "feed.py:6"),
        ("tasks --site -", "locations", "", "-"),
        ("tasks -o ", ["table", "json"], "", ""),
        ("tasks -oj", ["table", "json"], "-o", "j"),
        ("tasks --label ", line.FREE, "", ""),
        ("tasks show ", "serials", "", ""),
        ("tasks show -o json 1", "serials", "", "1"),
        ("watch AAPL MS", "symbols", "", "MS"),
        ("watch -- --", "symbols", "", "--"),
    ],
)
def test_the_kind_of_value_at_the_cursor(
    typed: str, kind: line.Value, head: str, word: str
) -> None:
    cursor = at(typed)
    assert (cursor.value, cursor.head, cursor.word) == (kind, head, word)


def test_surplus_arguments_have_no_candidates() -> None:
    assert at("tasks show 5 6").value is None
    assert choices("watch -- ") == []


def test_only_options_before_the_command_name_the_service() -> None:
    cursor = at("--instance=a --instance b tasks --site x --instance c ")
    assert cursor.global_options == {"instance": "b"}
    assert cursor.path == "tasks"


def test_an_argument_ends_the_search_for_a_subcommand() -> None:
    assert at("nonsense tasks show ").path == ""


def test_the_real_table_leads_from_every_command_to_its_own() -> None:
    commands = answer.commands()
    for path, command in commands.items():
        cursor = line.read([*path.split(), ""], commands)
        assert cursor.path == path
        assert "--help" in command["options"]
