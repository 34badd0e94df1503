"""A page's commands, with their section and what they must print."""

from __future__ import annotations

import pytest

from qcfeed.runbook_pages import Step, difference, steps, symptoms

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
        Step("Diagnosis", "qcfeed status", "...\nfinding: bad\n"),
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
