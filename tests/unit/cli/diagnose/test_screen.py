"""What a person sees first, on 80 columns by 24 lines whatever there is to tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qcfeed.cli.diagnose.screen import screen
from qcfeed.cli.ui.table import LabelledLine, lay_out_lines
from qcfeed.diagnose.verdict import diagnose
from qcfeed.model.diagnosis import DiagnosisFinding
from tests.support.evidence_builders import (
    feed,
    healthy,
    leak,
    ledger_findings,
    rule,
    samples,
    subscriber,
)


def crowded() -> list[LabelledLine]:
    """A leak with all that it explains, and much else beside it."""
    rules = [
        rule("orphans", count=60_000, since_s=13_620.0),
        *(rule(name, f"a{n}.py:{n}", count=n) for n in range(9) for name in ("growing", "cancelled_in_vain")),
        rule("blocked_loop", "b.py:1", place="b.py:2 slow", sure=False, worst_s=0.1, ago_s=1.0),
    ]  # fmt: skip
    evidence = leak(
        count=60_000,
        more=5_000,
        samples=samples(30.0, tasks_per_s=1_000),
        findings=ledger_findings(*rules),
        feeds=[feed("AAPL"), feed("IBM", band="dead")],
        slow=[subscriber(n) for n in range(9)],
    )
    return screen(
        diagnose(replace(evidence, skipped=[f"part {n}: it did not answer" for n in range(9)]))
    )


def test_the_layout_fits_and_keeps_columns_of_rank_0() -> None:
    laid = [text for text, _ in lay_out_lines(crowded(), 80, 23)]
    assert len(laid) <= 23
    assert max(map(len, laid)) <= 80
    assert laid[0].startswith("LEAK  60,000 tasks from feed.py:83 are orphaned; ")
    labels = [text[2:12].strip() for text in laid]
    for label in ("cause", "line", "began", "evidence", "explains", "safe", "next", "also"):
        assert label in labels
    assert "  next      qcfeed orphans --reap" in laid


def test_a_pipe_gets_every_line() -> None:
    laid = [text for text, _ in lay_out_lines(crowded(), None)]
    assert sum("it did not answer" in text for text in laid) == 9


def test_a_command_is_never_wrapped() -> None:
    long = "qcfeed --instance " + "x" * 90 + " orphans --reap"
    [line] = lay_out_lines([LabelledLine(long, whole=True)], 80)
    assert line[0] == long


def test_full_output_leaves_out_no_line() -> None:
    judged = diagnose(leak(slow=[subscriber(7)]))
    lines = screen(judged, full=True)
    assert [line.text for line in lines if line.label == "cause"] == [
        each.cause for each in judged.findings
    ]
    assert not any(line.rank for line in lines if line.label != "checked")


def test_text_of_the_program_is_escaped() -> None:
    judged = diagnose(healthy())
    judged.findings = [
        DiagnosisFinding(
            rule="x", kind="X", certainty="proved", urgency=1,  # type: ignore[arg-type]
            headline="\x1b[2J", cause="a\nb", evidence=["\x07"], next=["qcfeed \x1b[A"],
        )
    ]  # fmt: skip
    assert all(line.text.isprintable() for line in screen(judged))


@pytest.mark.parametrize("height", [1, 5, 10])
def test_a_low_terminal_keeps_lines_of_rank_0(height: int) -> None:
    laid = [text for text, _ in lay_out_lines(crowded(), 80, height)]
    assert "  next      qcfeed orphans --reap" in laid


def test_a_long_label_does_not_run_into_its_text() -> None:
    lines = lay_out_lines(
        [
            LabelledLine("HEALTHY"),
            LabelledLine("0 live", "quotes"),
            LabelledLine("3", "subscribers"),
        ],
        80,
    )
    assert [text for text, _ in lines] == [
        "HEALTHY",
        "  quotes      0 live",
        "  subscribers 3",
    ]
