"""What a run of the fan-out benchmark measures, saves, skips and prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.fanout import goals, plot, report
from benchmarks.fanout.peers import PEERS
from benchmarks.fanout.results import SCHEMA, Figures, Results, load
from benchmarks.fanout.workloads import workloads

ALL = {each.name: each for each in workloads(stopped_for=60)}
PEER = {each.name: each for each in PEERS}
USUAL = {"server_cpu": 0.5, "readers_cpu": 0.2, "gaps": 0.0, "conflated": 0.0, "lost": 0.0}


@pytest.fixture
def results() -> Results:
    machine = {"processor": "2 x Abacus", "kernel": "6.1", "python": "CPython 3.11.7"}
    return Results(SCHEMA, machine, 2.0, ALL)


def add(results: Results, workload: str, peer: str, **figures: float) -> None:
    results.of(workload, peer).append(USUAL | figures)


def due(results: Results, workload: str, number: int) -> list[str]:
    return [each.name for each in PEERS if results.due(each, ALL[workload], number)]


def held(share: float, p99: float = 20.0) -> Figures:
    return {"delivered_share": share, "p50_ms": 5.0, "p99_ms": p99, "p99.9_ms": 30.0}


def test_each_round_is_measured_once(results: Results) -> None:
    assert due(results, "churn", 0) == ["qcfeed", "naive", "websockets", "picows", "uvicorn", "ws", "c1"]  # fmt: skip
    add(results, "churn", "naive", cycles_per_s=4_000)
    assert "naive" not in due(results, "churn", 0)
    assert "naive" in due(results, "churn", 1)


def test_a_peer_without_a_goal_is_measured_once(results: Results) -> None:
    for peer in due(results, "stopped", 0):
        add(results, "stopped", peer, others_share=1.0)
    assert due(results, "stopped", 1) == ["qcfeed"]


def test_several_processes_behind_one_port_are_listed_separately(results: Results) -> None:
    assert due(results, "shared-churn", 0) == ["one", "two"]
    assert not {"one", "two"} & set(due(results, "1x1000", 0))


def test_a_peer_that_cannot_reach_half_a_rate_is_not_tried_at_higher_rates(
    results: Results,
) -> None:
    add(results, "rate500", "naive", **held(0.26))
    add(results, "rate500", "nats", **held(1.0))
    add(results, "rate2000", "nats", **held(0.3))
    assert "naive" in due(results, "rate50", 1)
    for workload, number in (("rate500", 1), ("rate1000", 0), ("rate2000", 0)):
        assert "naive" not in due(results, workload, number)
    assert "nats" in due(results, "rate2000", 1), "a goal compares it"
    add(results, "rate1000", "picows", **held(0.22))
    assert "picows" in due(results, "rate500", 0)


def test_a_failed_peer_is_retried_once(results: Results) -> None:
    results.failed("1x100", "uvicorn").append("it did not start")
    assert "uvicorn" in due(results, "1x100", 0)
    results.failed("1x100", "uvicorn").append("it did not start")
    assert "uvicorn" not in due(results, "1x100", 1)
    assert "uvicorn" in due(results, "1x1000", 0)


def test_saved_results_are_read_back(results: Results, tmp_path: Path) -> None:
    add(results, "churn", "qcfeed", cycles_per_s=9_000)
    results.failed("1x100", "uvicorn").append("it did not start")
    file = tmp_path / "figures.json"
    results.save(file)
    results.save(file)
    assert load(file) == results
    assert [each.name for each in tmp_path.iterdir()] == ["figures.json"]
    file.write_text(file.read_text().replace(SCHEMA, "qcfeed.bench.fanout/1"))
    with pytest.raises(ValueError, match="fanout/1"):
        load(file)


def test_medians_are_of_the_rounds_and_gaps_are_their_sum(results: Results) -> None:
    for cycles in (10_000, 12_000, 90_000):
        add(results, "churn", "qcfeed", cycles_per_s=cycles)
        add(results, "churn", "naive", cycles_per_s=5_000)
    for gaps in (0.0, 2.0, 0.0):
        add(results, "1x1000", "qcfeed", deliveries_per_s=1e7, gaps=gaps)
    verdicts = {each.what: (each.verdict, each.came) for each in goals.goals(results)}
    assert verdicts["churn: x naive"] == ("MISSED", 2.4)
    assert verdicts["gaps in seq, all rounds at saturation and at a rate"] == ("MISSED", 2.0)
    table = next(each for each in report.tables(results) if "1 x 1,000" in each.title)
    assert table.rows[0][2] == "2 gaps"


def test_minimum_and_maximum_goals_as_text_and_table(results: Results) -> None:
    add(results, "rate1000", "qcfeed", **held(0.995, p99=18.0))
    add(results, "rate1000", "nats", **held(1.0, p99=54.0))
    add(results, "shared-churn", "one", cycles_per_s=8_000)
    add(results, "shared-churn", "two", cycles_per_s=12_000)
    listed = list(goals.goals(results))
    assert goals.text(listed).splitlines() == [
        "met     1,000/s: share that is delivered: 0.99, wanted >= 0.99",
        "met     1,000/s: p99, x nats-server: 0.33, wanted <= 0.5",
        "met     gaps in seq, all rounds at saturation and at a rate: 0.00, wanted <= 0",
        "        2 processes behind one port, churn: x one process: 1.50, wanted -",
    ]
    assert goals.markdown(listed).splitlines()[1:4] == [
        "|---|---|---:|---|",
        "| 1,000/s: share that is delivered | >= 0.99 | 0.99 | met |",
        "| 1,000/s: p99, x nats-server | <= 0.5 | 0.33 | met |",
    ]


def test_a_table_names_missing_figures_and_the_reason(results: Results) -> None:
    add(results, "rate500", "naive", **held(0.26))
    add(results, "rate1000", "qcfeed", **held(1.0))
    results.failed("rate1000", "uvicorn").append("it did not start\nTraceback")
    text = [each.text() for each in report.tables(results)][-1].splitlines()
    assert text[0].startswith("1,000 quotes/s x 1,000 "), (
        "2,000/s, where nothing is known, has none"
    )
    rows = {line[2:26].strip(): line[26:].split() for line in text[1:]}
    assert rows["qcfeed"] == ["100.0%", "5.00", "20.0", "30.0", "50%", "20%", "1"]
    assert rows["aiohttp, `send_str`"][-3:] == ["behind", "at", "500/s"]
    assert "failed 1 x: it did not start" in text[-1]
    markdown = [each.markdown() for each in report.tables(results)][-1].splitlines()
    assert markdown[0].count("|") == markdown[1].count("|") == markdown[2].count("|")


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="no matplotlib here")
def test_the_plot_is_deterministic_and_highlights_qcfeed(results: Results, tmp_path: Path) -> None:
    add(results, "1x1000", "qcfeed", deliveries_per_s=13_533_000)
    add(results, "1x1000", "naive", deliveries_per_s=112_000)
    add(results, "rate500", "naive", **held(0.26))
    add(results, "rate1000", "qcfeed", **held(1.0, p99=17.6))
    drawn = []
    for name in ("one.svg", "two.svg"):
        plot.draw(results, tmp_path / name)
        drawn.append((tmp_path / name).read_text())
    assert drawn[0] == drawn[1]
    for text in ("13,533,000", "112,000", "17.6", "behind at 500/s", "2 x Abacus"):
        assert text in drawn[0]
    assert "prefers-color-scheme: dark" in drawn[0]
    bold = [line for line in drawn[0].splitlines() if "font-weight: 700" in line]
    assert bold
    assert all("qcfeed<" in line or "13,533,000<" in line or "17.6<" in line for line in bold)
