from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from qcfeed.metrics.catalog import metrics as catalog
from qcfeed.metrics.catalog.metrics import METRICS, MetricKind
from qcfeed.metrics.collectors import BucketCounts, Exposition, Sample


def test_a_scraper_reads_the_exposed_values() -> None:
    values = [Sample(catalog.TASKS_LIVE, 3, ("a.py:1",)), Sample(catalog.QUOTES_IN, 7)]
    text = Exposition(lambda: values).text().decode()
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples == {("qcfeed_tasks_live", "a.py:1"): 3, ("qcfeed_quotes_total",): 7}


def test_each_scrape_reads_current_values() -> None:
    count = iter(range(10))
    exposition = Exposition(lambda: [Sample(catalog.CONNECTIONS, next(count))])
    assert exposition.text() != exposition.text()


def test_exposed_buckets_are_cumulative() -> None:
    counts = [3, 0, 2, *[0] * 10, 1]
    text = (
        Exposition(lambda: [Sample(catalog.LOOP_LAG, BucketCounts(counts, 12.5))]).text().decode()
    )
    assert 'qcfeed_loop_lag_seconds_bucket{le="0.001"} 3.0' in text
    assert 'qcfeed_loop_lag_seconds_bucket{le="10.0"} 5.0' in text
    assert 'qcfeed_loop_lag_seconds_bucket{le="+Inf"} 6.0' in text
    assert "qcfeed_loop_lag_seconds_count 6.0" in text
    assert "qcfeed_loop_lag_seconds_sum 12.5" in text


def test_bucket_counts_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Exposition(lambda: [Sample(catalog.LOOP_LAG, BucketCounts([1, 2], 1.0))]).text()


def test_names_follow_the_naming_guide() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 20
    for metric in METRICS:
        assert re.fullmatch(r"(qcfeed|process)_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
        assert metric.help.endswith(".")
        assert metric.unit
        assert bool(metric.buckets) == (
            metric.kind in (MetricKind.HISTOGRAM, MetricKind.DISTRIBUTION)
        )
        assert list(metric.buckets) == sorted(metric.buckets)
        for unit in ("seconds", "bytes"):
            assert (unit in metric.name) == (metric.unit == unit), metric.name
