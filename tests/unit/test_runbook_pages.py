"""A page's commands, with their section and what they must print."""

from __future__ import annotations

import pytest

from qcfeed.runbook_pages import Step, acts, difference, steps, symptoms

PAGE = """\
# A page

## Diagnosis

Words, and `qcfeed not-a-step`.

```console
$ qcfeed status
...
finding: bad
$ qcfeed orphans
```

```toml
$ no = "command"
```

## Verification

```console
$ qcfeed status > /dev/null && echo healthy
healthy
```
"""


def test_every_command_of_a_console_block_is_a_step() -> None:
    assert steps(PAGE) == [
        Step(
            "Diagnosis", "qcfeed status", "...\nfinding: bad\n", "Words, and `qcfeed not-a-step`."
        ),
        Step("Diagnosis", "qcfeed orphans", ""),
        Step("Verification", "qcfeed status > /dev/null && echo healthy", "healthy\n"),
    ]


def test_a_page_without_commands_has_no_step() -> None:
    assert steps("# A page\n\n## Meaning\n\nNothing.\n") == []


def test_the_index_has_a_symptom_for_each_page() -> None:
    table = "| You see | Page |\n|---|---|\n| a | [Page](Page.md) |\n| `b` | [the-other](the-other.md) |\n"
    assert symptoms(table) == {"Page": "a", "the-other": "`b`"}


@pytest.mark.parametrize(
    ("wanted", "got", "same"),
    [
        ("healthy\n", "healthy\n", True),
        ("healthy\n", "", False),
        ("", "anything\n", False),
        ("a ... c\n", "a  b\nc\n", True),
        ("a ... c\n", "a b d\n", False),
        ("total  0\n", "total   0\n", True),
    ],
)
def test_ellipsis_and_white_space_are_ignored(wanted: str, got: str, same: bool) -> None:
    assert (difference(wanted, got) is None) == same


@pytest.mark.parametrize(
    ("command", "may_change"),
    [
        ("qcfeed status", False),
        ("qcfeed orphans --limit 3", False),
        ("qcfeed tasks --by object --window 2s", False),
        ("qcfeed drill list", False),
        ("qcfeed status > /dev/null && echo healthy", False),
        ("qcfeed diagnose   # the verdict", False),
        ("qcfeed report --file report.md --bundle evidence.tar.gz", False),
        ("qcfeed orphans --reap", True),
        ("qcfeed subscribers kick --slow --yes", True),
        ("qcfeed feeds cancel AAPL", True),
        ("qcfeed tasks cancel --site feed.py:77", True),
        ("qcfeed drill stop", True),
        ("qcfeed drill listen", True),
        ("qcfeed report --file report.md --force", True),
        ("qcfeed serve", True),
        ("qcfeed", True),
        ("qcfeed --instance x status", True),
        ("qcfeed status > /etc/passwd", True),
        ("qcfeed orphans --reap > /dev/null && echo healthy", True),
        ("qcfeed status; rm -rf /", True),
        ("qcfeed status && qcfeed drill stop", True),
        ("qcfeed status $(reboot)", True),
        ("kill 4711", True),
        ("", True),
    ],
)
def test_what_is_not_known_to_read_only_may_change_something(
    command: str, may_change: bool
) -> None:
    assert acts(command) is may_change


def test_prose_is_what_stands_between_a_command_and_the_one_before() -> None:
    text = """# Page

## Diagnosis

Which ones?

```console
$ qcfeed orphans
1 orphan
$ qcfeed status
up
```

Then act.

## Mitigation

```console
$ qcfeed orphans --reap
```
"""
    assert [step.prose for step in steps(text)] == ["Which ones?", "", ""]
